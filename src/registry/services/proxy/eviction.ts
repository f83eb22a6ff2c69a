// Cached content that nobody uses goes, through the same deletion and the same collector as everything else; without trash, since upstream has it.

import type { UpstreamSpec } from "../../../api/kinds.ts";
import type { Digest } from "../../../domain/digest.ts";
import { milliseconds } from "../../../domain/duration.ts";
import { addTo } from "../../../domain/groups.ts";
import { bytesOf } from "../../../domain/quantity.ts";
import { digestOfReferrerTag } from "../../../domain/reference.ts";
import type { Logger } from "../../../observability/logger.ts";
import type { Database } from "../../metadata/database.ts";
import {
  finishEviction,
  listCachedBlobs,
  listCachedManifests,
  prepareEviction,
  pullsCountedFor,
  type CachedBlobRow,
  type CachedManifestRow,
} from "../../metadata/proxy-eviction.ts";
import type { ConfigurationSource, Published } from "../configuration/configuration.ts";
import { deleteManifests } from "../deletion/delete-manifests.ts";
import { DatabaseUnavailable } from "../errors.ts";
import { planEviction, type CachedManifest } from "./eviction-plan.ts";
import type { Turn } from "../upkeep/turn.ts";

/** Milliseconds until the first round: after a start there is more urgent work, and one that never lives for an hour still evicts. */
const firstAfter = 60_000;
/** Milliseconds between the end of a round and the next one. */
const pause = 3_600_000;
/** A database that was away is asked again after so many milliseconds. */
const backWithin = 4_000;
/** Manifests in one transaction. */
const batch = 200;
const by = "eviction";

export interface EvictionOptions {
  readonly database: Database;
  readonly configuration: ConfigurationSource;
  readonly logger: Logger;
  /** Milliseconds; a minute, then an hour after each round by default. */
  readonly times?: { readonly firstAfter: number; readonly pause: number };
  /** Where there are several processes, one evicts. */
  readonly turn?: Turn;
}

export class Eviction {
  readonly #options: EvictionOptions;
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<unknown> = Promise.resolve();
  #stopping = false;

  constructor(options: EvictionOptions) {
    this.#options = options;
  }

  /** The first round soon, the others each an hour after the last has ended. */
  start(): void {
    this.#schedule(this.#options.times?.firstAfter ?? firstAfter);
  }

  /** Ends after the batch that is running; the rest is due again in the next process. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#timer);
    await this.#round;
  }

  /** Evicts what is due of every Upstream. Resolves with the number of manifests that went. Rounds of one process never overlap. */
  runOnce(): Promise<number> {
    const round = this.#round.then(() => this.#evictAll());
    this.#round = round.catch(() => undefined);
    return round;
  }

  #schedule(milliseconds: number): void {
    if (this.#stopping) return;
    this.#timer = setTimeout(() => {
      void this.runOnce()
        .then(
          () => this.#options.times?.pause ?? pause,
          (error: unknown) => {
            const away = error instanceof DatabaseUnavailable;
            this.#options.logger.error(
              { err: error },
              `a round of eviction failed; the next one is in ${away ? "some seconds" : "an hour"}`,
            );
            return away ? backWithin : (this.#options.times?.pause ?? pause);
          },
        )
        .then((milliseconds) => this.#schedule(milliseconds));
    }, milliseconds).unref();
  }

  async #evictAll(): Promise<number> {
    if (this.#stopping || this.#options.turn?.mine() === false) return 0;
    const countedFor = await pullsCountedFor(this.#options.database);
    let count = 0;
    for (const upstream of this.#options.configuration.current().upstreams) {
      if (this.#stopping) break;
      count += await this.#evict(upstream, countedFor);
    }
    return count;
  }

  async #evict({ spec, namespace, name }: Published<UpstreamSpec>, countedFor: number): Promise<number> {
    const { database, logger } = this.#options;
    const key = `${namespace}/${name}`;
    const { maxSize } = spec.cache;
    // What is offline cannot be fetched again.
    const unusedFor = spec.offline ? Infinity : milliseconds(spec.cache.unusedFor);
    if (unusedFor === Infinity && maxSize === undefined) return 0;
    const rows = await listCachedManifests(database, key);
    const blobs = maxSize === undefined || this.#stopping ? [] : await listCachedBlobs(database, key);
    if (this.#stopping) return 0;
    const going = planEviction(cachedManifests(rows, blobs), {
      unusedFor,
      countedFor,
      ...(maxSize === undefined ? {} : { maxSize: bytesOf(maxSize) }),
    });
    if (going.size === 0) return 0;
    let count = 0;
    const doomed = Map.groupBy(
      rows.filter((row) => going.has(idOf(row.repositoryId, row.digest))),
      ({ repositoryId }) => repositoryId,
    );
    for (const [repositoryId, manifests] of doomed) count += await this.#delete(repositoryId, inWholes(manifests));
    logger.info({ upstream: key, manifests: count }, "cached content that nobody used was dropped");
    return count;
  }

  /** What a version, evidence or a proposal pinned since the plan was made stays: the deletion looks again, and the foreign keys hold. */
  async #delete(repositoryId: number, digests: readonly Digest[]): Promise<number> {
    let count = 0;
    for (let from = 0; from < digests.length && !this.#stopping; from += batch) {
      const part = digests.slice(from, from + batch);
      count += await this.#options.database.transaction(async (transaction) => {
        const blobs = await prepareEviction(transaction, repositoryId, part);
        const { deleted } = await deleteManifests(transaction, {
          repositoryId,
          digests: part,
          by,
          reason: by,
          onHeld: "Keep",
          trash: false,
          leaveMany: true,
        });
        await finishEviction(transaction, repositoryId, blobs);
        return deleted.length;
      });
    }
    return count;
  }
}

/** What the plan is made of: what is attached (referrers, cosign's tags) is a part of its subject, as children are of their index. */
export function cachedManifests(rows: readonly CachedManifestRow[], blobs: readonly CachedBlobRow[]): CachedManifest[] {
  const blobsOf = Map.groupBy(blobs, ({ repositoryId, manifest }) => idOf(repositoryId, manifest));
  const attached = new Map<string, string[]>();
  for (const { repositoryId, digest, subject, tags } of rows) {
    const subjects = [subject ?? undefined, ...tags.map(digestOfReferrerTag)].filter((found) => found !== undefined);
    for (const found of subjects) addTo(attached, idOf(repositoryId, found), idOf(repositoryId, digest));
  }
  return rows.map(({ repositoryId, digest, children, idle, pinned }) => {
    const id = idOf(repositoryId, digest);
    return {
      id,
      idle,
      pinned,
      parts: [...children.map((child) => idOf(repositoryId, child)), ...(attached.get(id) ?? [])],
      blobs: blobsOf.get(id) ?? [],
    };
  });
}

/** Each index before its children: an index that stays in a later batch would hold them. */
function inWholes(rows: readonly CachedManifestRow[]): Digest[] {
  const children = new Set(rows.flatMap((row) => row.children));
  const isChild = ({ digest }: CachedManifestRow) => children.has(digest);
  return [...rows.filter((row) => !isChild(row)), ...rows.filter(isChild)].map(({ digest }) => digest);
}

const idOf = (repositoryId: number, digest: string) => `${repositoryId} ${digest}`;
