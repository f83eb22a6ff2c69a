// G2 and G5 of storage.md: the only step that cannot be taken back. The claim is committed before the store hears of it, every key is judged by
// its own result, and when much more would go than usually goes, a person is asked first.

import { failpoint } from "#failpoints";

import { randomUUID } from "node:crypto";

import { formatBytes } from "../../../domain/bytes.ts";
import type { Logger } from "../../../observability/logger.ts";
import { BlobStoreError, type BlobStore } from "../../blobs/blob-store.ts";
import type { Database } from "../../metadata/database.ts";
import { holdBrake, readOutlook, readStoredBytes, type Brake } from "../../metadata/gc-brake.ts";
import { readGcPauses } from "../../metadata/gc-pauses.ts";
import { claimDoomedObjects, forgetObjects, retryObjects, wakeObjects, type ClaimedObject } from "../../metadata/gc-sweep.ts";

export interface SweepOptions {
  readonly database: Database;
  readonly store: Pick<BlobStore, "delete">;
  readonly brake: Brake;
  readonly logger: Logger;
  /** Asked between a claim and its deletion, for each batch; false: nothing may be deleted, sweeping is paused (marker.ts). */
  readonly beforeDeletion?: () => Promise<boolean>;
  /** Called after each batch that the store deleted. */
  readonly onSwept?: (swept: { readonly objects: number; readonly bytes: number }) => void;
}

export interface Swept {
  /** Keys that the store deleted. */
  readonly swept: number;
  /** Keys that the store could not delete; they are tried again. */
  readonly failed: number;
}

/** Milliseconds for which what was seen to be due is good. */
const lookEvery = 60_000;

export class Sweeper {
  readonly #options: SweepOptions;
  /** Pauses that this process has spoken of. */
  #told = "";
  /** away: it did not answer when it was last asked to delete. back: it has answered since, and what failed was not tried again yet. */
  #state: "there" | "away" | "back" = "there";

  constructor(options: SweepOptions) {
    this.#options = options;
  }

  /** The store did not answer, and may be asked sooner than at the next round whether it does again. */
  get waits(): boolean {
    return this.#state === "away";
  }

  /** False: the store is still away. Its first answer makes due what failed meanwhile, in every process. */
  async isBack(): Promise<boolean> {
    if (this.#state !== "away") return true;
    if (!(await this.#answers())) return false;
    while ((await wakeObjects(this.#options.database)) > 0);
    this.#state = "back";
    return true;
  }

  /** Until nothing is due, sweeping is paused, the store is away, or `isStopping` says so after a batch. Any number of processes may do it at once. */
  async run(isStopping: () => boolean): Promise<Swept> {
    const { database, onSwept } = this.#options;
    const total = { swept: 0, failed: 0 };
    if (!(await this.isBack())) return total;
    const isBack = this.#state === "back";
    this.#state = "there";
    for (let seen = { allowance: 0, until: -Infinity }; !isStopping();) {
      if (performance.now() >= seen.until) {
        const allowance = await this.#lookAhead();
        if (allowance === undefined) break;
        seen = { allowance, until: performance.now() + lookEvery };
      }
      const claimed = await claimDoomedObjects(database, seen.allowance);
      if (claimed === undefined) {
        // More has become due than was seen.
        seen = { ...seen, until: -Infinity };
        continue;
      }
      if (claimed.objects.length === 0) break;
      const { gone, failed, unanswered } = await deleteClaimed(this.#options, claimed.objects);
      onSwept?.({ objects: gone, bytes: claimed.bytes });
      total.swept += gone;
      total.failed += failed;
      if (unanswered === 0) continue;
      // A store that has just answered fails for these keys alone: they wait their time.
      if (!isBack) this.#state = "away";
      if (!isBack || gone === 0) break;
    }
    return total;
  }

  /** One small request, for a key that nobody ever had: none can be stuck in it, and no pause forbids it. */
  async #answers(): Promise<boolean> {
    const key = randomUUID();
    return !isUnanswered((await this.#options.store.delete([key], new Map([[key, 0]]))).get(key));
  }

  /** Bytes that may be swept within an hour; undefined: none, sweeping is paused. */
  async #lookAhead(): Promise<number | undefined> {
    const { database, brake, logger } = this.#options;
    if (await this.#isPaused()) return undefined;
    const { swept, due, approvedUntil } = await readOutlook(database);
    const going = swept + due;
    if (going <= brake.bytes) return brake.bytes;
    const stored = await readStoredBytes(database);
    const allowance = Math.max(brake.bytes, (stored * brake.percent) / 100);
    if (going <= allowance) return allowance;
    const detail =
      `${formatBytes(going)} of ${formatBytes(stored)} would be deleted for good within an hour, more than gc.brake allows ` +
      `(${brake.percent} %, ${formatBytes(brake.bytes)}). If that is meant: \`npx wharfinger gc resume\``;
    if (await holdBrake(database, detail, approvedUntil)) logger.error({ going, stored }, `sweeping is paused: ${detail}`);
    this.#told = detail;
    return undefined;
  }

  async #isPaused(): Promise<boolean> {
    const pauses = await readGcPauses(this.#options.database);
    const said = pauses.map(({ detail }) => detail).join("; ");
    if (said !== this.#told && pauses.length > 0) this.#options.logger.warn(`sweeping is paused: ${said}`);
    this.#told = said;
    return pauses.length > 0;
  }
}

/**
 * Deletes keys that are claimed; what the store could not delete is tried again in five minutes, by whoever comes first.
 * `unanswered`: about so many of them it said nothing.
 */
export async function deleteClaimed(
  { database, store, logger, beforeDeletion }: Pick<SweepOptions, "database" | "store" | "logger" | "beforeDeletion">,
  objects: readonly ClaimedObject[],
): Promise<{ readonly gone: number; readonly failed: number; readonly unanswered: number }> {
  const keys = objects.map(({ key }) => key);
  const sizes = new Map(objects.flatMap(({ key, size }) => (size === null ? [] : [[key, size]])));
  await failpoint("G2.claimed");
  try {
    if (beforeDeletion !== undefined && !(await beforeDeletion())) {
      await retryObjects(database, objects);
      return { gone: 0, failed: keys.length, unanswered: 0 };
    }
  } catch (error) {
    if (!isUnanswered(error)) throw error;
    await retryObjects(database, objects);
    logger.warn({ keys: keys.length, err: error }, "the blob store does not answer; what was to be deleted is tried again");
    return { gone: 0, failed: keys.length, unanswered: keys.length };
  }
  const results = await store.delete(keys, sizes);
  await failpoint("G2.deleted");
  const isGone = ({ key }: ClaimedObject) => results.has(key) && results.get(key) === undefined;
  const gone = objects.filter(isGone);
  const failed = objects.filter((object) => !isGone(object));
  await forgetObjects(database, gone);
  await failpoint("G2.gone");
  await retryObjects(database, failed);
  await failpoint("G2.retried");
  if (failed[0] !== undefined)
    logger.warn({ keys: failed.length, err: results.get(failed[0].key) }, "the blob store could not delete; it is tried again");
  const unanswered = failed.filter(({ key }) => isUnanswered(results.get(key)));
  return { gone: gone.length, failed: failed.length, unanswered: unanswered.length };
}

function isUnanswered(error: unknown): boolean {
  return error instanceof BlobStoreError && error.code === "Unavailable";
}
