// What is pulled, counted in memory and written now and then: a pull never writes to the database (performance.md).

import type { Digest } from "../../../domain/digest.ts";
import type { Queryable } from "../../metadata/database.ts";
import { addPulls, type PullCount } from "../../metadata/pulls.ts";

export interface PullStatistics {
  record(pull: { readonly repositoryId: number; readonly digest: Digest; readonly tag?: string }): void;
}

interface Counted {
  readonly repositoryId: number;
  readonly digest: Digest;
  readonly tag: string;
  lastAt: number;
  count: number;
}

/** Milliseconds. Policies ask about hours; each flush costs some 400 bytes of the database's log for every tag that was pulled since the last one. */
const flushEvery = 120_000;
/** Distinct pulls in memory; when more come between two flushes, the next flush comes at once. */
const most = 50_000;

export class CollectedPullStatistics implements PullStatistics {
  readonly #database: Queryable;
  readonly #onError: (error: unknown) => void;
  #counts = new Map<string, Counted>();
  #timer: NodeJS.Timeout | undefined;
  #flushing: Promise<void> = Promise.resolve();

  constructor(options: { readonly database: Queryable; readonly onError: (error: unknown) => void }) {
    this.#database = options.database;
    this.#onError = options.onError;
  }

  start(): void {
    this.#timer ??= setInterval(() => void this.flush(), flushEvery).unref();
  }

  record({ repositoryId, digest, tag = "" }: { repositoryId: number; digest: Digest; tag?: string }): void {
    const key = `${repositoryId} ${digest} ${tag}`;
    const counted = this.#counts.get(key);
    if (counted !== undefined) {
      counted.count++;
      counted.lastAt = performance.now();
      return;
    }
    this.#counts.set(key, { repositoryId, digest, tag, lastAt: performance.now(), count: 1 });
    if (this.#counts.size === most) void this.flush();
  }

  /** Writes what was counted. What cannot be written is reported and forgotten: statistics must not fill the memory. */
  flush(): Promise<void> {
    this.#flushing = this.#flushing.then(() => this.#write());
    return this.#flushing;
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#timer = undefined;
    await this.flush();
  }

  async #write(): Promise<void> {
    const counts = [...this.#counts.values()].sort(byKey);
    this.#counts = new Map();
    const now = performance.now();
    const rows: PullCount[] = counts.map(({ lastAt, ...rest }) => ({ ...rest, age: (now - lastAt) / 1000 }));
    try {
      if (rows.length > 0) await addPulls(this.#database, rows);
    } catch (error) {
      this.#onError(error);
    }
  }
}

function byKey(a: Counted, b: Counted): number {
  if (a.repositoryId !== b.repositoryId) return a.repositoryId - b.repositoryId;
  if (a.digest !== b.digest) return a.digest < b.digest ? -1 : 1;
  return a.tag < b.tag ? -1 : 1;
}
