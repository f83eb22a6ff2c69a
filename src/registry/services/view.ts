// What this process remembers of the database, for pulls (storage.md, "Reading"): right for 10 ms from the moment the last question about
// changes was sent. Who takes something away waits 15 ms after its COMMIT (Database.transaction, `takesAway`), so that every view that could miss it has run out.

import { LRUCache } from "lru-cache";

import { changesSince } from "../metadata/changes.ts";
import type { Queryable } from "../metadata/database.ts";

/** Milliseconds for which an answer holds, from when its question was sent. */
const holdsFor = 10;
/** Under traffic the next question goes out when the view is this old, so that few pulls wait for one. */
const askAfter = 5;
/** After this long without an answer a pull is told to come again. */
const patience = 1_000;
/** Rows about changes are kept 20 minutes; a view that slept longer than half of that knows nothing. */
const forgetAfter = 600_000;
/** The two clocks may differ by this much in the life of an answer; more means that the machine slept. */
const clockTolerance = 1_000;
/** Milliseconds between questions while the database fails. */
const askAgainAfter = 20;
const defaultBytes = 64 * 1024 * 1024;

export interface ViewOptions {
  readonly database: Queryable;
  /** Bytes of remembered values. */
  readonly maxBytes?: number;
}

interface Load {
  readonly began: number;
  readonly value: Promise<object | undefined>;
  /** A change became visible while it was on its way: it may have read what was before. */
  overtaken: boolean;
}

/** No answer in time: nothing is known about what was deleted meanwhile. */
export class ViewUnavailable extends Error {
  constructor(options?: ErrorOptions) {
    super("The database does not answer.", options);
    this.name = "ViewUnavailable";
  }
}

export class View {
  readonly #database: Queryable;
  readonly #values: LRUCache<string, object>;
  readonly #loads = new Map<string, Load>();
  #snapshot: string | null = null;
  #server: string | undefined;
  /** When the last answered question was sent, by both clocks. */
  #sent = { monotonic: -Infinity, wall: 0 };
  #asking: Promise<void> | undefined;

  constructor({ database, maxBytes = defaultBytes }: ViewOptions) {
    this.#database = database;
    this.#values = new LRUCache({ maxSize: maxBytes });
  }

  /**
   * The value under `key`, which is one that the triggers name: from memory, or loaded. `bytes`: what it costs to remember it. Absence is not
   * remembered. Rejects with ViewUnavailable, or as `load` does.
   */
  async get<T extends object>(key: string, load: () => Promise<T | undefined>, bytes: (value: T) => number): Promise<T | undefined> {
    const arrived = performance.now();
    if (!this.#values.has(key)) return this.#load(key, load, bytes, arrived);
    if (!this.#holdsAt(arrived)) await this.#confirm(arrived);
    else if (arrived - this.#sent.monotonic > askAfter) this.#ask().catch(() => undefined);
    const value = this.#values.get(key);
    return value === undefined ? this.#load(key, load, bytes, arrived) : (value as T);
  }

  /** What was confirmed within the last `milliseconds`, for a caller to whom old is better than nothing. */
  recent<T extends object>(key: string, milliseconds: number): T | undefined {
    return performance.now() - this.#sent.monotonic < milliseconds ? (this.#values.get(key) as T | undefined) : undefined;
  }

  /** A load is as new as its begin: who arrived later than the view allows does not share it. */
  #load<T extends object>(
    key: string,
    load: () => Promise<T | undefined>,
    bytes: (value: T) => number,
    arrived: number,
  ): Promise<T | undefined> {
    const running = this.#loads.get(key);
    if (running !== undefined && !running.overtaken && arrived - running.began < holdsFor) return running.value as Promise<T | undefined>;
    // Without a first question nobody would hear of changes.
    if (this.#snapshot === null) this.#ask().catch(() => undefined);
    const value = load();
    const mine: Load = { began: performance.now(), value, overtaken: this.#snapshot === null };
    this.#loads.set(key, mine);
    const end = (found?: T) => {
      if (this.#loads.get(key) === mine) this.#loads.delete(key);
      if (found !== undefined && !mine.overtaken) this.#values.set(key, found, { size: bytes(found) + key.length });
    };
    value.then(end, () => end());
    return value;
  }

  /** Resolves when a question that was sent late enough for somebody who came at `arrived` has been answered. */
  async #confirm(arrived: number): Promise<void> {
    const signal = AbortSignal.timeout(patience);
    for (let failure: unknown; !this.#holdsAt(arrived);) {
      if (signal.aborted) throw new ViewUnavailable({ cause: failure });
      await Promise.race([
        this.#ask().catch(async (error: unknown) => {
          failure = error;
          await new Promise((resolve) => setTimeout(resolve, askAgainAfter));
        }),
        new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true })),
      ]);
    }
  }

  #holdsAt(moment: number): boolean {
    const { monotonic, wall } = this.#sent;
    const now = performance.now();
    return moment - monotonic < holdsFor && Math.abs(Date.now() - wall - (now - monotonic)) < clockTolerance;
  }

  /** One question at a time, for everybody. */
  #ask(): Promise<void> {
    this.#asking ??= this.#question().finally(() => (this.#asking = undefined));
    return this.#asking;
  }

  async #question(): Promise<void> {
    const sent = { monotonic: performance.now(), wall: Date.now() };
    if (sent.monotonic - this.#sent.monotonic > forgetAfter) this.#forget();
    const { snapshot, server, keys } = await changesSince(this.#database, this.#snapshot);
    if (server !== this.#server) {
      this.#forget();
      this.#server = server;
    }
    for (const key of keys) {
      this.#values.delete(key);
      const load = this.#loads.get(key);
      if (load !== undefined) load.overtaken = true;
    }
    this.#snapshot = snapshot;
    this.#sent = sent;
  }

  #forget(): void {
    this.#snapshot = null;
    this.#values.clear();
    for (const load of this.#loads.values()) load.overtaken = true;
  }
}
