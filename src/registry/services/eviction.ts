// Cached content that nobody uses goes, through the same deletion and the same collector as everything else; without trash, since upstream has it.

import type { UpstreamSpec } from "../../api/kinds.ts";
import type { Digest } from "../../domain/digest.ts";
import { milliseconds } from "../../domain/duration.ts";
import { bytesOf } from "../../domain/quantity.ts";
import { digestOfReferrerTag } from "../../domain/reference.ts";
import type { Logger } from "../../observability/logger.ts";
import type { Database } from "../metadata/database.ts";
import {
  finishEviction,
  listCachedBlobs,
  listCachedManifests,
  prepareEviction,
  pullsCountedFor,
  type CachedManifestRow,
} from "../metadata/proxy-eviction.ts";
import type { ConfigurationSource, Published } from "./configuration.ts";
import { deleteManifests } from "./delete-manifests.ts";
import { planEviction, type CachedManifest } from "./eviction-plan.ts";

const everyHour = 3_600_000;
/** Manifests in one transaction. */
const batch = 200;
const by = "eviction";

export interface EvictionOptions {
  readonly database: Database;
  readonly configuration: ConfigurationSource;
  readonly logger: Logger;
}

export class Eviction {
  readonly #options: EvictionOptions;
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<unknown> = Promise.resolve();

  constructor(options: EvictionOptions) {
    this.#options = options;
  }

  /** A round every hour. */
  start(): void {
    this.#timer ??= setInterval(() => void this.#tryRound(), everyHour).unref();
  }

  /** Waits for the round that is running. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#timer = undefined;
    await this.#round;
  }

  /** Evicts what is due of every Upstream. Resolves with the number of manifests that went. */
  async runOnce(): Promise<number> {
    const countedFor = await pullsCountedFor(this.#options.database);
    let count = 0;
    for (const upstream of this.#options.configuration.current().upstreams) count += await this.#evict(upstream, countedFor);
    return count;
  }

  async #tryRound(): Promise<void> {
    try {
      const round = this.runOnce();
      this.#round = round.catch(() => undefined);
      await round;
    } catch (error) {
      this.#options.logger.error({ err: error }, "a round of eviction failed; the next one is in an hour");
    }
  }

  async #evict({ spec, namespace, name }: Published<UpstreamSpec>, countedFor: number): Promise<number> {
    const { database, logger } = this.#options;
    const key = `${namespace}/${name}`;
    const { unusedFor, maxSize } = spec.cache;
    const rows = await listCachedManifests(database, key);
    const going = planEviction(await this.#graph(key, rows, maxSize !== undefined), {
      unusedFor: milliseconds(unusedFor),
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

  async #graph(key: string, rows: readonly CachedManifestRow[], withBlobs: boolean): Promise<CachedManifest[]> {
    const blobs = Map.groupBy(withBlobs ? await listCachedBlobs(this.#options.database, key) : [], ({ repositoryId, manifest }) =>
      idOf(repositoryId, manifest),
    );
    const attached = new Map<string, string[]>();
    for (const { repositoryId, digest, subject, tags } of rows) {
      const subjects = [subject ?? undefined, ...tags.map(digestOfReferrerTag)].filter((found) => found !== undefined);
      for (const found of subjects) {
        const whole = idOf(repositoryId, found);
        attached.set(whole, [...(attached.get(whole) ?? []), idOf(repositoryId, digest)]);
      }
    }
    return rows.map(({ repositoryId, digest, children, idle, pinned }) => {
      const id = idOf(repositoryId, digest);
      return {
        id,
        idle,
        pinned,
        parts: [...children.map((child) => idOf(repositoryId, child)), ...(attached.get(id) ?? [])],
        blobs: blobs.get(id) ?? [],
      };
    });
  }

  /** What a version, evidence or a proposal pinned since the plan was made stays: the deletion looks again, and the foreign keys hold. */
  async #delete(repositoryId: number, digests: readonly Digest[]): Promise<number> {
    let count = 0;
    for (let from = 0; from < digests.length; from += batch) {
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
        });
        await finishEviction(transaction, repositoryId, blobs);
        return deleted.length;
      });
    }
    return count;
  }
}

/** Each index before its children: an index that stays in a later batch would hold them. */
function inWholes(rows: readonly CachedManifestRow[]): Digest[] {
  const children = new Set(rows.flatMap((row) => row.children));
  const isChild = ({ digest }: CachedManifestRow) => children.has(digest);
  return [...rows.filter((row) => !isChild(row)), ...rows.filter(isChild)].map(({ digest }) => digest);
}

const idOf = (repositoryId: number, digest: string) => `${repositoryId} ${digest}`;
