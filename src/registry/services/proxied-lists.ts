// Tags and referrers of proxied repositories: upstream's, remembered for tagTTL and served older when upstream fails, merged with our own.

import { LRUCache } from "lru-cache";

import { isDigest, hexOf, algorithmOf, type Digest } from "../../domain/digest.ts";
import { mediaTypes } from "../../domain/media-types.ts";
import type { Database } from "../metadata/database.ts";
import { listProxiedTags, listVersionTags } from "../metadata/proxy-tags.ts";
import { listReferrers } from "../metadata/referrers.ts";
import type { Priority } from "../upstream/budget.ts";
import { UpstreamError } from "../upstream/errors.ts";
import { ServiceError } from "./errors.ts";
import type { Referrer, TagPage } from "./pull-service.ts";
import { SingleFlight } from "./single-flight.ts";
import { withFailure } from "./upstream-failure.ts";
import type { Place } from "./upstreams.ts";

/** Bytes of memory for what is remembered of each kind, by estimate. */
const rememberedBytes = 64 * 1024 * 1024;
/** What an object costs beside its texts. */
const entrySize = 128;
/** As many as the client reads from the referrers API. */
const maxFallbackReferrers = 1000;

interface Remembered<T> {
  /** Undefined: upstream said 404. */
  readonly value: T | undefined;
  readonly at: number;
}

/** What of one kind upstream said, by origin and repository. */
class Memory<T extends object> {
  readonly #known: LRUCache<string, Remembered<T>>;
  readonly #asking = new SingleFlight<T | undefined>();

  /** `sizeOf`: about how many bytes of memory a value takes. */
  constructor(sizeOf: (value: T) => number) {
    const sizeCalculation = ({ value }: Remembered<T>, name: string) =>
      entrySize + 2 * name.length + (value === undefined ? 0 : sizeOf(value));
    this.#known = new LRUCache({ maxSize: rememberedBytes, sizeCalculation });
  }

  /** Fresh enough, else asked, else (a temporary failure) what was known within staleIfError. Rejects with UpstreamError. */
  async get(place: Place, key: string, options: { revalidate: boolean; ask: () => Promise<T | undefined> }): Promise<T | undefined> {
    const { cache, origin } = place.upstream;
    const name = `${origin} ${place.repository} ${key}`;
    const known = this.#known.get(name);
    if (known !== undefined && !options.revalidate && Date.now() - known.at < cache.tagTTL) return known.value;
    try {
      const value = await this.#asking.run(name, options.ask);
      this.#known.set(name, { value, at: Date.now() });
      return value;
    } catch (error) {
      const usable = known !== undefined && Date.now() - known.at < cache.tagTTL + cache.staleIfError;
      if (usable && !options.revalidate && error instanceof UpstreamError && error.temporary) return known.value;
      throw error;
    }
  }
}

export class ProxiedLists {
  readonly #database: Database;
  readonly #tags = new Memory<readonly string[]>(sizeOfTags);
  readonly #referrers = new Memory<readonly Referrer[]>(sizeOfReferrers);

  constructor(options: { database: Database }) {
    this.#database = options.database;
  }

  /** Sorted bytewise. Rejects with ServiceError NAME_UNKNOWN when neither upstream nor we know the repository. */
  async tags(
    place: Place,
    page: { limit: number; after?: string },
    options: { revalidate: boolean; priority: Priority },
  ): Promise<TagPage> {
    const [remote, versions] = await Promise.all([this.#remoteTags(place, options), listVersionTags(this.#database, place.name)]);
    if (remote === undefined && versions.length === 0) {
      throw new ServiceError("NAME_UNKNOWN", `upstream ${place.upstream.host} has no repository ${place.repository}`);
    }
    return mergedPage(remote ?? [], versions.toSorted(), page);
  }

  /** Never rejects for an unknown digest (distribution spec, "Listing Referrers"). */
  async referrers(
    place: Place,
    digest: Digest,
    options: { artifactType?: string; revalidate: boolean; priority: Priority },
  ): Promise<readonly Referrer[]> {
    const own = (await listReferrers(this.#database, place.name, digest)).map(({ artifactType, annotations, ...rest }): Referrer => ({
      ...rest,
      ...(artifactType === null ? {} : { artifactType }),
      ...(annotations === null ? {} : { annotations }),
    }));
    const remote = await this.#remoteReferrers(place, digest, options);
    const merged = [...new Map([...remote, ...own].map((referrer) => [referrer.digest, referrer])).values()];
    merged.sort((a, b) => (a.digest < b.digest ? -1 : 1));
    return options.artifactType === undefined ? merged : merged.filter(({ artifactType }) => artifactType === options.artifactType);
  }

  /** Sorted, each once. */
  async #remoteTags(place: Place, options: { revalidate: boolean; priority: Priority }): Promise<readonly string[] | undefined> {
    const cached = async () => {
      const tags = await listProxiedTags(this.#database, place.name);
      return tags.length === 0 ? undefined : tags.toSorted();
    };
    if (place.upstream.offline) return cached();
    // Sorted once, not for every page. Tags are ASCII: the order of UTF-16 units is the order of bytes.
    const ask = async () => (await place.upstream.client.tags(place.repository, options.priority))?.toSorted();
    try {
      return await this.#tags.get(place, "tags", { revalidate: options.revalidate, ask });
    } catch (error) {
      // After a restart nothing is remembered; the tags that were pulled are better than none.
      const known = error instanceof UpstreamError && error.temporary && !options.revalidate ? await cached() : undefined;
      if (known !== undefined) return known;
      return withFailure(`the list of tags of ${place.name}`, Promise.reject(error as Error));
    }
  }

  async #remoteReferrers(place: Place, digest: Digest, options: { revalidate: boolean; priority: Priority }): Promise<readonly Referrer[]> {
    if (place.upstream.offline) return [];
    const ask = () => this.#askReferrers(place, digest, options.priority);
    const found = withFailure(
      `the list of referrers of ${place.name}@${digest}`,
      this.#referrers.get(place, digest, { revalidate: options.revalidate, ask }),
    );
    return (await found) ?? [];
  }

  /** The referrers API, else the fallback tag (distribution spec, "Unavailable Referrers API"). */
  async #askReferrers(place: Place, digest: Digest, priority: Priority): Promise<readonly Referrer[]> {
    const { client } = place.upstream;
    const listed = await client.referrers(place.repository, digest, priority);
    if (listed !== undefined) return listed.map(readReferrer).filter((referrer) => referrer !== undefined);
    const fallback = await client.getManifest(place.repository, `${algorithmOf(digest)}-${hexOf(digest)}`, priority);
    if (fallback === undefined || fallback.contentType !== mediaTypes.ociIndex) return [];
    try {
      const { manifests } = JSON.parse(fallback.bytes.toString("utf8")) as { manifests?: unknown };
      return Array.isArray(manifests)
        ? manifests
            .slice(0, maxFallbackReferrers)
            .map(readReferrer)
            .filter((referrer) => referrer !== undefined)
        : [];
    } catch {
      return [];
    }
  }
}

/** A page of two sorted lists, at the cost of the page and not of the lists. */
export function mergedPage(first: readonly string[], second: readonly string[], page: { limit: number; after?: string }): TagPage {
  const tags: string[] = [];
  let [i, j] = [firstBehind(first, page.after), firstBehind(second, page.after)];
  while (tags.length <= page.limit) {
    const [a, b] = [first[i], second[j]];
    if (a === undefined && b === undefined) return { tags, more: false };
    const next = b === undefined || (a !== undefined && a <= b) ? a! : b;
    tags.push(next);
    if (a === next) i++;
    if (b === next) j++;
  }
  tags.pop();
  return { tags, more: true };
}

/** Index of the first text that sorts behind `after`. */
function firstBehind(sorted: readonly string[], after: string | undefined): number {
  let [low, high] = [0, after === undefined ? 0 : sorted.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]! > after!) high = middle;
    else low = middle + 1;
  }
  return low;
}

function sizeOfTags(tags: readonly string[]): number {
  return tags.reduce((sum, tag) => sum + 32 + tag.length, 0);
}

function sizeOfReferrers(referrers: readonly Referrer[]): number {
  return referrers.reduce((sum, referrer) => sum + entrySize + 2 * JSON.stringify(referrer).length, 0);
}

/** A descriptor as upstream wrote it, or undefined when it is none. */
function readReferrer(value: unknown): Referrer | undefined {
  const { mediaType, digest, size, artifactType, annotations } = (value ?? {}) as Record<string, unknown>;
  if (typeof mediaType !== "string" || typeof digest !== "string" || !isDigest(digest)) return undefined;
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) return undefined;
  const texts = Object.entries(typeof annotations === "object" && annotations !== null ? annotations : {}).filter(
    (entry): entry is [string, string] => typeof entry[1] === "string",
  );
  return {
    mediaType,
    digest,
    size,
    ...(typeof artifactType === "string" && artifactType !== "" ? { artifactType } : {}),
    ...(texts.length === 0 ? {} : { annotations: Object.fromEntries(texts) }),
  };
}
