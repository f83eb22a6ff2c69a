// The collector: G1, G2, G3 and pruning, online, in every registry process, in proportion to what changed (storage.md).

import { failpoint } from "#failpoints";

import type { GcStatus } from "../../../api/control/gc.ts";
import type { Logger } from "../../../observability/logger.ts";
import type { BlobStore } from "../../blobs/blob-store.ts";
import type { Database } from "../../metadata/database.ts";
import { pruneCommits } from "../../metadata/commit-marks.ts";
import { pruneSweeps, releaseBrake, type Brake } from "../../metadata/gc-brake.ts";
import { readBacklog, readGcNumbers, type GcBacklog } from "../../metadata/gc-numbers.ts";
import { readGcPauses } from "../../metadata/gc-pauses.ts";
import { pruneChangesBefore, pruneOldTrash, readHorizon, type Horizon } from "../../metadata/gc-prune.ts";
import { reviewQueue } from "../../metadata/gc-review.ts";
import { writeGcTimes, type GcTimes } from "../../metadata/gc-settings.ts";
import { abandonSilentObjects, expireUploads } from "../../metadata/gc-sweep.ts";
import { followDeparted, type FollowingOptions } from "./departed.ts";
import { DatabaseUnavailable } from "../errors.ts";
import { forgetting, forgettingSteps, type ForgettingStep } from "./forgetting.ts";
import { deleteFreed } from "./purge-sweep.ts";
import { Sweeper, type Swept } from "./sweep.ts";

/** All in milliseconds. */
export interface CollectorTimes extends GcTimes {
  /** Pause between two rounds. */
  readonly interval: number;
  /** G3: a writer that was silent for this long is given up. */
  readonly uploadAbandonedAfter: number;
}

export interface CollectorOptions {
  readonly database: Database;
  readonly store: BlobStore;
  readonly times: CollectorTimes;
  readonly brake: Brake;
  readonly logger: Logger;
  /** Asked between a claim and its deletion, for each batch; false: nothing may be deleted (marker.ts). */
  readonly beforeDeletion?: () => Promise<boolean>;
  /** Which tags hold what follows a subject that a client deleted. */
  readonly isProtected: FollowingOptions["isProtected"];
  /** Counts steps that failed, by name. */
  readonly onStepFailed?: (step: CollectorStep) => void;
  readonly onSwept?: (swept: { readonly objects: number; readonly bytes: number }) => void;
  /** What waits at the end of a round. */
  readonly onMeasured?: (backlog: GcBacklog) => void;
}

export type CollectorStep =
  | "departed"
  | "uploads"
  | "silent"
  | "review"
  | "sweep"
  | "trash"
  | "changes"
  | "sweeps"
  | "measure"
  | ForgettingStep;

/** What one round did. */
export interface Collected extends Swept {
  /** Manifests that followed their subject. */
  readonly followed: number;
  /** Upload sessions ended because nobody wrote to them. */
  readonly expiredUploads: number;
  /** Keys whose writer was silent. */
  readonly abandoned: number;
  /** Queue rows looked at. */
  readonly reviewed: number;
  /** Rights to read that ended. */
  readonly links: number;
  /** Blobs whose bytes are doomed now. */
  readonly blobs: number;
  readonly prunedTrash: number;
  readonly prunedChanges: number;
  /** Rows that nobody asks about any more (forgetting.ts). */
  readonly forgotten: number;
  /** Steps that failed; the others went on, and these are tried again in the next round. */
  readonly failedSteps: number;
}

/** A process that still reads with an older snapshot than this refreshes it from nothing (storage.md, Reading). */
const snapshotsLive = 20 * 60_000;
/** Milliseconds between two looks at what is old: each reads all that is kept of it, and it is kept for weeks. */
const forgetEvery = 24 * 3_600_000;

/** What waits is counted row by row, by every process: it is counted again after so many times what that took, but after 10 minutes at the latest. */
const measureRest = 500;
const measureAgain = 600_000;

/** A database or a store that was away is asked again after so many milliseconds: what is due has waited long enough. */
const backWithin = 4_000;

export class Collector {
  readonly #options: CollectorOptions;
  readonly #sweeper: Sweeper;
  /** When which transaction was the oldest running one, oldest first. */
  #horizons: (Horizon & { readonly readAt: number })[] = [];
  readonly #forgotAt = new Map<ForgettingStep, number>();
  /** Milliseconds until the next round. */
  #pause: number;
  /** When that is, by the monotonic clock. */
  #roundAt = 0;
  #timer: NodeJS.Timeout | undefined;
  /** What waited when it was last counted, and when it is to be counted again, by the monotonic clock. */
  #measured: { readonly backlog: GcBacklog; readonly until: number } | undefined;
  #round: Promise<unknown> = Promise.resolve();
  #stopping = false;

  constructor(options: CollectorOptions) {
    this.#options = options;
    this.#pause = options.times.interval;
    this.#sweeper = new Sweeper(options);
  }

  /** Writes the times to the database and starts the rounds. */
  async start(): Promise<void> {
    await writeGcTimes(this.#options.database, this.#options.times);
    this.#roundAt = performance.now() + this.#pause;
    this.#schedule();
  }

  /** One whole round: until nothing more is due. Rounds of one process never overlap. */
  runOnce(): Promise<Collected> {
    const round = this.#round.then(() => this.#collect());
    this.#round = round.catch(() => undefined);
    return round;
  }

  async status(): Promise<GcStatus> {
    const { database } = this.#options;
    return { ...(await readGcNumbers(database)), paused: await readGcPauses(database) };
  }

  /** Releases the brake on every process; what is doomed by now may go. False: it did not hold. */
  resume(): Promise<boolean> {
    return releaseBrake(this.#options.database);
  }

  /** Ends after the batch that is running. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#timer);
    await this.#round;
  }

  #schedule(): void {
    if (this.#stopping) return;
    const pause = Math.max(0, this.#roundAt - performance.now());
    this.#timer = setTimeout(
      () => {
        this.#next()
          .catch((error: unknown) => this.#options.logger.error({ err: error }, "collecting failed; it is tried again"))
          .finally(() => this.#schedule());
      },
      this.#sweeper.waits ? Math.min(pause, backWithin) : pause,
    ).unref();
  }

  /** A round; but before its time, while the store is away, only a look whether it is back. */
  async #next(): Promise<void> {
    if (performance.now() < this.#roundAt) {
      const looked = this.#round.then(() => this.#sweeper.isBack());
      this.#round = looked.catch(() => undefined);
      if (!(await looked)) return;
    }
    try {
      this.#report(await this.runOnce());
    } finally {
      this.#roundAt = performance.now() + this.#pause;
    }
  }

  async #collect(): Promise<Collected> {
    const { database, times } = this.#options;
    let failedSteps = 0;
    this.#pause = this.#options.times.interval;
    // No step needs the one before: what cannot be swept today must not keep trash or silent uploads for ever.
    const step = async <T>(name: CollectorStep, nothing: T, work: () => Promise<T>): Promise<T> => {
      try {
        return await work();
      } catch (error) {
        failedSteps++;
        if (error instanceof DatabaseUnavailable) this.#pause = Math.min(this.#pause, backWithin);
        this.#options.onStepFailed?.(name);
        this.#options.logger.error({ err: error, step: name }, "a step of collecting failed; it is tried again");
        return nothing;
      }
    };
    const followed = await step("departed", 0, () => this.#follow());
    const expiredUploads = await step("uploads", 0, () => this.#batches(() => expireUploads(database)));
    const abandoned = await step("silent", 0, () => this.#batches(() => abandonSilentObjects(database, times.uploadAbandonedAfter)));
    const { reviewed, links, blobs } = await step("review", { reviewed: 0, links: 0, blobs: 0 }, () => this.#review());
    const { swept, failed } = await step("sweep", { swept: 0, failed: 0 }, () => this.#sweeper.run(() => this.#stopping));
    const prunedTrash = await step("trash", 0, () => this.#batches(() => pruneOldTrash(database)));
    const prunedChanges = await step("changes", 0, () => this.#pruneChanges());
    await step("sweeps", 0, () => pruneSweeps(database));
    let forgotten = 0;
    for (const name of forgettingSteps) forgotten += await step(name, 0, () => this.#forget(name));
    await step("measure", undefined, () => this.#measure());
    return {
      followed,
      expiredUploads,
      abandoned,
      reviewed,
      links,
      blobs,
      swept,
      failed,
      prunedTrash,
      prunedChanges,
      forgotten,
      failedSteps,
    };
  }

  /** What a request that died, or that the database left, had yet to take. */
  async #follow(): Promise<number> {
    const { database, isProtected } = this.#options;
    let total = 0;
    for await (const { deleted, freed } of followDeparted(database, { of: "All", isProtected })) {
      total += deleted.length;
      if (freed !== undefined) await deleteFreed(this.#options, freed.objects);
      if (this.#stopping) break;
    }
    return total;
  }

  /** G1. What a batch queues for now (the blob of a link that it deleted) comes up in the next one. */
  async #review(): Promise<{ reviewed: number; links: number; blobs: number }> {
    const total = { reviewed: 0, links: 0, blobs: 0 };
    for (; !this.#stopping;) {
      const batch = await reviewQueue(this.#options.database);
      await failpoint("G1.committed");
      total.reviewed += batch.reviewed;
      total.links += batch.links;
      total.blobs += batch.blobs;
      if (batch.reviewed === 0) break;
    }
    return total;
  }

  /** Changes are pruned below an `xmin` that was read long enough ago, never by their age. */
  async #pruneChanges(): Promise<number> {
    const { database } = this.#options;
    await this.#batches(() => pruneCommits(database));
    const now = performance.now();
    this.#horizons.push({ ...(await readHorizon(database)), readAt: now });
    const old = this.#horizons.filter(({ readAt }) => now - readAt >= snapshotsLive);
    const horizon = old.at(-1);
    if (horizon === undefined) return 0;
    this.#horizons = this.#horizons.slice(old.length - 1);
    return this.#batches(() => pruneChangesBefore(database, horizon));
  }

  async #measure(): Promise<void> {
    const { database, times, onMeasured } = this.#options;
    if (onMeasured === undefined) return;
    const began = performance.now();
    if (this.#measured === undefined || began >= this.#measured.until) {
      const backlog = await readBacklog(database);
      const took = performance.now() - began;
      this.#measured = { backlog, until: began + Math.min(Math.max(took * measureRest, times.interval / 2), measureAgain) };
    }
    onMeasured({ ...this.#measured.backlog, paused: (await readGcPauses(database)).length > 0 });
  }

  async #forget(name: ForgettingStep): Promise<number> {
    const now = performance.now();
    if (this.#stopping || now - (this.#forgotAt.get(name) ?? -Infinity) < forgetEvery) return 0;
    let total = 0;
    for await (const count of forgetting[name](this.#options.database)) {
      total += count;
      if (this.#stopping) return total;
    }
    this.#forgotAt.set(name, now);
    return total;
  }

  async #batches(work: () => Promise<number>): Promise<number> {
    let total = 0;
    for (; !this.#stopping;) {
      const count = await work();
      total += count;
      if (count === 0) break;
    }
    return total;
  }

  #report(collected: Collected): void {
    if (Object.values(collected).some((count) => count > 0)) this.#options.logger.info(collected, "collected");
  }
}
