// Memory for the parts that are on their way to a bucket: a part must be whole before it is sent, so that it can be sent again.
// Whoever fills a part waits for a client, which may take hours: he has only what is to spare, and never the reserve. Whoever waits here has all
// the bytes of his part elsewhere already, and waits only for parts that are being sent, so for the bucket and for no client.

export interface PartBuffer {
  readonly bytes: Buffer;
  readonly release: () => void;
}

/** Of the whole, kept for parts that are to be sent. */
const reserved = 1 / 4;

export class PartMemory {
  #free: number;
  readonly #limit: number;
  readonly #reserve: number;
  /** Taken by parts that fill, or did when they took it. */
  #filling = 0;
  readonly #waiting: { readonly bytes: number; readonly go: () => void }[] = [];

  constructor(limit: number) {
    this.#limit = limit;
    this.#reserve = limit * reserved;
    this.#free = limit;
  }

  /** Bytes that are taken. */
  get used(): number {
    return this.#limit - this.#free;
  }

  /** For a part that fills. */
  hasToSpare(bytes: number): boolean {
    return this.#waiting.length === 0 && bytes <= this.#free && this.#filling + bytes <= this.#limit - this.#reserve;
  }

  /** For a part that fills; undefined when there is nothing to spare. */
  tryAcquire(bytes: number): PartBuffer | undefined {
    if (!this.hasToSpare(bytes)) return undefined;
    this.#filling += bytes;
    this.#free -= bytes;
    return this.#buffer(bytes, () => {
      this.#filling -= bytes;
      this.#give(bytes);
    });
  }

  /** For a part that is whole and is sent at once. Served in order; more than the reserve has is given when nobody else has any of it. */
  async acquire(bytes: number): Promise<PartBuffer> {
    const cost = Math.min(bytes, this.#reserve);
    if (this.#waiting.length > 0 || cost > this.#free) {
      await new Promise<void>((go) => this.#waiting.push({ bytes: cost, go }));
    } else {
      this.#free -= cost;
    }
    return this.#buffer(bytes, () => this.#give(cost));
  }

  #buffer(bytes: number, giveBack: () => void): PartBuffer {
    let held = true;
    return {
      bytes: Buffer.allocUnsafeSlow(bytes),
      release: () => {
        if (!held) return;
        held = false;
        giveBack();
      },
    };
  }

  #give(bytes: number): void {
    this.#free += bytes;
    for (let next = this.#waiting[0]; next !== undefined && next.bytes <= this.#free; next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#free -= next.bytes;
      next.go();
    }
  }
}
