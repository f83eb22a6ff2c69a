// Runs wait for what their policy names until the registry has it, but no longer than a kubelet can take: then they begin without it and say what they
// lack, and begin once more when it is there.

/** Milliseconds. A kubelet brings a Secret within two minutes. */
const longestWait = 300_000;

interface Lack {
  readonly what: string;
  /** Since then, milliseconds of the clock. */
  readonly since: number;
  readonly timer: NodeJS.Timeout;
  over: boolean;
}

/** An `id` is `<kind of job> <namespace>/<name>`. */
export class CredentialWaits {
  readonly #lacks = new Map<string, Lack>();
  /** The run of a policy that waits: one at a time. */
  readonly #waiting = new Map<string, () => void>();
  /** Policies whose run began without what it needs, and since when that was not there. */
  readonly #begunWithout = new Map<string, number>();

  /**
   * What runs of a policy lack: the same words as long as it is the same; undefined: nothing. Answers since when (milliseconds of the clock) there was
   * lacking what is there by now, where a run has begun without it and none waits that will have it.
   */
  note(id: string, what: string | undefined): number | undefined {
    const before = this.#lacks.get(id);
    if (before !== undefined && before.what === what) return undefined;
    clearTimeout(before?.timer);
    if (what !== undefined) {
      const lack: Lack = { what, since: Date.now(), timer: setTimeout(() => this.#end(id, lack), longestWait).unref(), over: false };
      this.#lacks.set(id, lack);
      return undefined;
    }
    this.#lacks.delete(id);
    const since = this.#begunWithout.get(id);
    this.#begunWithout.delete(id);
    const waiting = this.#waiting.get(id);
    waiting?.();
    return waiting === undefined ? since : undefined;
  }

  /** Until when runs of a policy have to wait; undefined: they need not. */
  until(id: string): Date | undefined {
    const lack = this.#lacks.get(id);
    return lack === undefined || lack.over ? undefined : new Date(lack.since + longestWait);
  }

  isWaiting(id: string): boolean {
    return this.#waiting.has(id);
  }

  /** Resolves when runs of the policy wait no longer, or `signal` ends it. */
  async wait(id: string, signal: AbortSignal): Promise<void> {
    while (this.until(id) !== undefined && !signal.aborted) {
      await new Promise<void>((resolve) => {
        this.#waiting.set(id, resolve);
        signal.addEventListener("abort", () => resolve(), { once: true });
      });
    }
    this.#waiting.delete(id);
  }

  /** A run begins, whatever it lacks. */
  begins(id: string): void {
    const lack = this.#lacks.get(id);
    if (lack !== undefined) this.#begunWithout.set(id, lack.since);
  }

  /** Forgets all others, but for those whose run waits: a policy that is only wrong by now runs as it was recorded. */
  keep(isThere: (id: string) => boolean): void {
    for (const id of this.#lacks.keys()) if (!isThere(id) && !this.isWaiting(id)) this.note(id, undefined);
    for (const id of this.#begunWithout.keys()) if (!isThere(id)) this.#begunWithout.delete(id);
  }

  stop(): void {
    for (const { timer } of this.#lacks.values()) clearTimeout(timer);
  }

  #end(id: string, lack: Lack): void {
    lack.over = true;
    this.#waiting.get(id)?.();
  }
}
