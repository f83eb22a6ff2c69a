// Memory for the parts that are on their way to a bucket: a part must be whole before it is sent, so that it can be sent again.
// Who waits is served in order. A writer that has its one buffer always comes to an end without another, so nobody waits for ever.

export interface PartBuffer {
  readonly bytes: Buffer;
  release(): void;
}

export class PartMemory {
  #free: number;
  readonly #limit: number;
  readonly #waiting: { readonly bytes: number; readonly go: () => void }[] = [];

  constructor(limit: number) {
    this.#limit = limit;
    this.#free = limit;
  }

  /** Bytes that are taken. */
  get used(): number {
    return this.#limit - this.#free;
  }

  /** More than there is at all is given when nobody else has any. */
  async acquire(bytes: number): Promise<PartBuffer> {
    const cost = Math.min(bytes, this.#limit);
    if (this.#waiting.length > 0 || cost > this.#free) {
      await new Promise<void>((go) => this.#waiting.push({ bytes: cost, go }));
    } else {
      this.#free -= cost;
    }
    return this.#buffer(bytes, cost);
  }

  /** A second buffer, only when it is to spare. */
  tryAcquire(bytes: number): PartBuffer | undefined {
    if (this.#waiting.length > 0 || bytes > this.#free) return undefined;
    this.#free -= bytes;
    return this.#buffer(bytes, bytes);
  }

  #buffer(bytes: number, cost: number): PartBuffer {
    let held = true;
    return {
      bytes: Buffer.allocUnsafeSlow(bytes),
      release: () => {
        if (!held) return;
        held = false;
        this.#free += cost;
        this.#serve();
      },
    };
  }

  #serve(): void {
    for (let next = this.#waiting[0]; next !== undefined && next.bytes <= this.#free; next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#free -= next.bytes;
      next.go();
    }
  }
}
