// What this process remembers of the database, for pulls (storage.md, "Reading"): right for 10 ms from the moment the last question about
// changes was sent. Who takes something away waits 15 ms after its COMMIT (Database.transaction, `takesAway`), so that every view that could miss it has run out.

import { LRUCache } from "lru-cache";

import { changesSince } from "../../metadata/changes.ts";
import type { Queryable } from "../../metadata/database.ts";
import { ServiceError } from "../errors.ts";

/** Milliseconds for which an answer holds, from when its question was sent. */
const holdsFor = 10;
/** Under traffic the next question goes out when the view is this old, so that few pulls wait for one. */
const askAfter = 5;
/** After this long without an answer a pull is told to come again. */
const patience = 1_000;
/** While somebody has just waited that long in vain, nobody else does. */
const leastPatience = 100;
/** A wait that ends later than this after its time was no wait: the process was stopped, or starved. */
const waitTolerance = 250;
/** Rows about changes are kept 20 minutes; a view that slept longer than half of that knows nothing. */
const forgetAfter = 600_000;
/** The two clocks may differ by this much in the life of an answer; more means that the machine slept. */
const clockTolerance = 1_000;
/** Milliseconds between questions while the database fails. */
const askAgainAfter = 20;
const rememberedBytes = 64 * 1024 * 1024;
const defaultServeOldFor = 60_000;

export interface ViewOptions {
  /** Who asks: a connection of its own, so that a question never waits behind other statements. */
  readonly database: Queryable;
  /** Milliseconds: what was confirmed this recently is good enough for `getEvenOld` while the database is silent. 0: nothing is. */
  readonly serveOldFor?: number;
}

interface Load {
  readonly began: number;
  readonly value: Promise<object | undefined>;
  /** A change became visible while it was on its way: it may have read what was before. */
  overtaken: boolean;
}

/** One moment by both clocks: the monotonic one stands still while the machine sleeps, and the other one can be set. */
export interface Moment {
  readonly monotonic: number;
  readonly wall: number;
}

export function momentNow(): Moment {
  return { monotonic: performance.now(), wall: Date.now() };
}

/** Milliseconds since then, by the clock that says more. */
export function elapsedSince({ monotonic, wall }: Moment): number {
  return Math.max(performance.now() - monotonic, Date.now() - wall);
}

/** No answer in time: nothing is known about what was deleted meanwhile. */
export class ViewUnavailable extends ServiceError {
  constructor(cause?: unknown) {
    super("UNAVAILABLE", "The registry's database does not answer. Try again.", { cause, retryAfter: 1 });
  }
}

export class View {
  readonly #database: Queryable;
  readonly #serveOldFor: number;
  readonly #values: LRUCache<string, object>;
  readonly #loads = new Map<string, Load>();
  #snapshot: string | null = null;
  #server: string | undefined;
  #generation = 0;
  /** When the last answered question was sent. */
  #sent: Moment = { monotonic: -Infinity, wall: 0 };
  #asking: Promise<void> | undefined;
  #failure: unknown;
  /** When a pull last waited in vain. */
  #inVain = -Infinity;

  constructor({ database, serveOldFor = defaultServeOldFor }: ViewOptions) {
    this.#database = database;
    this.#serveOldFor = serveOldFor;
    this.#values = new LRUCache({ maxSize: rememberedBytes });
  }

  /** Another number: nothing that was learned from the database before holds now (another server answers, or too much time went by). */
  get generation(): number {
    return this.#generation;
  }

  /** The value under `key` when it is remembered and holds at this moment: what nearly every pull finds, without waiting for anything. */
  peek<T extends object>(key: string): T | undefined {
    // Several times a pull: each clock is read once.
    const age = performance.now() - this.#sent.monotonic;
    if (age >= holdsFor || Math.abs(Date.now() - this.#sent.wall - age) >= clockTolerance) return undefined;
    if (age > askAfter) void this.#ask();
    return this.#values.get(key) as T | undefined;
  }

  /**
   * The value under `key`, which is one that the triggers name: from memory, or loaded. `bytes`: what it costs to remember it. Absence is not
   * remembered. Rejects with ViewUnavailable, or as `load` does.
   */
  async get<T extends object>(key: string, load: () => Promise<T | undefined>, bytes: (value: T) => number): Promise<T | undefined> {
    const known = this.peek<T>(key);
    if (known !== undefined) return known;
    const arrived = performance.now();
    if (!this.#values.has(key)) return this.#loaded(key, load, bytes, arrived);
    await this.#confirm(arrived);
    const value = this.#values.get(key);
    return value === undefined ? this.#loaded(key, load, bytes, arrived) : (value as T);
  }

  /** The same for somebody to whom old is better than nothing: while the database is silent, what was confirmed not long ago. */
  async getEvenOld<T extends object>(key: string, load: () => Promise<T | undefined>, bytes: (value: T) => number): Promise<T | undefined> {
    try {
      return await this.get(key, load, bytes);
    } catch (error) {
      const old = elapsedSince(this.#sent) < this.#serveOldFor ? (this.#values.get(key) as T | undefined) : undefined;
      if (old === undefined) throw error;
      return old;
    }
  }

  /** This process knows better: whoever comes now loads anew. */
  drop(key: string): void {
    this.#values.delete(key);
    const load = this.#loads.get(key);
    if (load !== undefined) load.overtaken = true;
  }

  /** A database that is silent keeps nobody waiting who has to ask it. One that answers questions may take its time to load. */
  async #loaded<T extends object>(
    key: string,
    load: () => Promise<T | undefined>,
    bytes: (value: T) => number,
    arrived: number,
  ): Promise<T | undefined> {
    // Before the first answer nobody hears of changes.
    if (this.#snapshot === null) await this.#confirm(arrived);
    const value = this.#load(key, load, bytes, arrived);
    return this.#holdsAt(arrived) ? value : Promise.race([value, this.#confirm(arrived).then(() => value)]);
  }

  /** A load is as new as its begin: who arrived later than the view allows does not share it. */
  #load<T extends object>(
    key: string,
    load: () => Promise<T | undefined>,
    bytes: (value: T) => number,
    arrived: number,
  ): Promise<T | undefined> {
    const running = this.#loads.get(key);
    if (running !== undefined) {
      if (!running.overtaken && arrived - running.began < holdsFor) return running.value as Promise<T | undefined>;
      // Changes are told to the newest load alone.
      running.overtaken = true;
    }
    const began = performance.now();
    const value = load();
    const mine: Load = { began, value, overtaken: this.#snapshot === null };
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
    while (!(await this.#answeredInTime(arrived)));
  }

  /** False: the wait says nothing, and another one is due. */
  async #answeredInTime(arrived: number): Promise<boolean> {
    const began = performance.now();
    const wait = began - this.#inVain < patience ? leastPatience : patience;
    const over = new AbortController();
    const end = new Promise((resolve) => over.signal.addEventListener("abort", resolve, { once: true }));
    const timer = setTimeout(() => over.abort(), wait);
    while (!over.signal.aborted && !this.#holdsAt(arrived)) await Promise.race([this.#ask(), end]);
    clearTimeout(timer);
    if (this.#holdsAt(arrived)) return true;
    if (performance.now() - began > wait + waitTolerance) return false;
    this.#inVain = performance.now();
    throw new ViewUnavailable(this.#failure);
  }

  #holdsAt(moment: number): boolean {
    const { monotonic, wall } = this.#sent;
    return moment - monotonic < holdsFor && Math.abs(Date.now() - wall - (performance.now() - monotonic)) < clockTolerance;
  }

  /** One question at a time, for everybody. Never rejects. */
  #ask(): Promise<void> {
    this.#asking ??= this.#question()
      .catch(async (error: unknown) => {
        this.#failure = error;
        await new Promise((resolve) => setTimeout(resolve, askAgainAfter));
      })
      .finally(() => (this.#asking = undefined));
    return this.#asking;
  }

  async #question(): Promise<void> {
    const sent = momentNow();
    if (this.#snapshot !== null && elapsedSince(this.#sent) > forgetAfter) this.#forget();
    const { snapshot, server, keys } = await changesSince(this.#database, this.#snapshot);
    if (this.#server !== undefined && server !== this.#server) this.#forget();
    this.#server = server;
    for (const key of keys) this.drop(key);
    this.#snapshot = snapshot;
    this.#sent = sent;
    this.#inVain = -Infinity;
  }

  #forget(): void {
    this.#generation++;
    this.#snapshot = null;
    this.#values.clear();
    for (const load of this.#loads.values()) load.overtaken = true;
  }
}
