// G2 and G5 of storage.md: the only step that cannot be taken back. The claim is committed before the store hears of it, every key is judged by
// its own result, and when much more would go than usually goes, a person is asked first.

import { failpoint } from "#failpoints";

import { formatBytes } from "../../domain/bytes.ts";
import type { Logger } from "../../observability/logger.ts";
import type { BlobStore } from "../blobs/blob-store.ts";
import type { Database } from "../metadata/database.ts";
import { holdBrake, readOutlook, readStoredBytes, type Brake } from "../metadata/gc-brake.ts";
import { readGcPauses } from "../metadata/gc-pauses.ts";
import { claimDoomedObjects, forgetObjects, retryObjects, type ClaimedObject } from "../metadata/gc-sweep.ts";

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

  constructor(options: SweepOptions) {
    this.#options = options;
  }

  /** Until nothing is due, sweeping is paused, or `isStopping` says so after a batch. Any number of processes may do it at once. */
  async run(isStopping: () => boolean): Promise<Swept> {
    const { database, onSwept } = this.#options;
    const total = { swept: 0, failed: 0 };
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
      const { gone, failed } = await deleteClaimed(this.#options, claimed.objects);
      onSwept?.({ objects: gone, bytes: claimed.bytes });
      total.swept += gone;
      total.failed += failed;
    }
    return total;
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
      `(${brake.percent} %, ${formatBytes(brake.bytes)}). If that is meant: wharfinger gc resume`;
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

/** Deletes keys that are claimed; what the store could not delete is tried again in five minutes, by whoever comes first. */
export async function deleteClaimed(
  { database, store, logger, beforeDeletion }: Pick<SweepOptions, "database" | "store" | "logger" | "beforeDeletion">,
  objects: readonly ClaimedObject[],
): Promise<{ readonly gone: number; readonly failed: number }> {
  const keys = objects.map(({ key }) => key);
  const sizes = new Map(objects.flatMap(({ key, size }) => (size === null ? [] : [[key, size]])));
  await failpoint("G2.claimed");
  if (beforeDeletion !== undefined && !(await beforeDeletion())) {
    await retryObjects(database, keys);
    return { gone: 0, failed: keys.length };
  }
  const results = await store.delete(keys, sizes);
  await failpoint("G2.deleted");
  const failed = keys.filter((key) => !results.has(key) || results.get(key) !== undefined);
  const gone = keys.filter((key) => results.has(key) && results.get(key) === undefined);
  await forgetObjects(database, gone);
  await failpoint("G2.gone");
  await retryObjects(database, failed);
  await failpoint("G2.retried");
  if (failed.length > 0)
    logger.warn({ keys: failed.length, err: results.get(failed[0]!) }, "the blob store could not delete; it is tried again");
  return { gone: gone.length, failed: failed.length };
}
