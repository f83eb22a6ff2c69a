// Tags and referrers of proxied repositories: upstream's, remembered for tagTTL and served older when upstream fails, merged with our own.

import { LRUCache } from "lru-cache";

import { isDigest, hexOf, algorithmOf, type Digest } from "../../../domain/digest.ts";
import { mediaTypes } from "../../../domain/media-types.ts";
import type { Database } from "../../metadata/database.ts";
import { listProxiedTags, listVersionTags } from "../../metadata/proxy-tags.ts";
import type { Priority } from "../../upstream/budget.ts";
import { UpstreamError } from "../../upstream/errors.ts";
import { maxReferrers } from "../../upstream/upstream-client.ts";
import { ServiceError } from "../errors.ts";
import type { Referrer, ReferrerPage, ReferrerSelection, TagPage } from "../pull/pull-service.ts";
import { maxListedAnnotations, mergedReferrers, referrerPage, storedReferrers } from "../pull/referrer-pages.ts";
import { SingleFlight } from "../single-flight.ts";
import { withFailure } from "./upstream-failure.ts";
import type { Place } from "./upstreams.ts";

/** Bytes of memory for what is remembered of each kind, by estimate. */
const rememberedBytes = 64 * 1024 * 1024;
/** What an object costs beside its texts. */
const entrySize = 128;
/** What a list may cost that nobody waits for: it is read on the schedule of a policy, for each of its images. */
const fewPages = 10;
/** Milliseconds for which a list that is longer is not asked for again. */
const tooLongFor = 6 * 3_600_000;
/** The longest type that a manifest here may name; a descriptor with a longer one is none. */
const maxTypeLength = 255;

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

  /**
   * Fresh enough, else asked, else (a temporary failure) what was known within staleIfError. Rejects with UpstreamError. `apart`: who asks for less
   * than others do must not be the one whose answer they share.
   */
  async get(
    place: Place,
    key: string,
    options: { revalidate: boolean; ask: () => Promise<T | undefined>; apart?: boolean },
  ): Promise<T | undefined> {
    const { cache, origin } = place.upstream;
    const name = `${origin} ${place.repository} ${key}`;
    const known = this.#known.get(name);
    if (known !== undefined && !options.revalidate && Date.now() - known.at < cache.tagTTL) return known.value;
    try {
      const value = await this.#asking.run(options.apart === true ? `${name} apart` : name, options.ask);
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
  /** Lists that were too long for `fewPages`, by origin and repository. */
  readonly #tooLong = new LRUCache<string, UpstreamError>({ max: 10_000, ttl: tooLongFor });

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

  /**
   * Sorted: what upstream lists, without ours; remembered like `tags`. Undefined: it has no list of this repository. Rejects with ServiceError, also
   * when the Upstream is offline, or lists more than is read in a few requests.
   */
  async upstreamTags(place: Place, priority: Priority): Promise<readonly string[] | undefined> {
    const { offline, client, origin, key } = place.upstream;
    if (offline) throw new ServiceError("UPSTREAM_FAILED", `Upstream ${key} is offline: it is not asked for the tags of ${place.name}`);
    const name = `${origin} ${place.repository}`;
    const ask = async () => {
      const refused = this.#tooLong.get(name);
      if (refused !== undefined) throw refused;
      try {
        return (await client.tags(place.repository, priority, { pages: fewPages }))?.toSorted();
      } catch (error) {
        if (error instanceof UpstreamError && error.code === "TooLarge") this.#tooLong.set(name, error);
        throw error;
      }
    };
    return withFailure(`the list of tags of ${place.name}`, this.#tags.get(place, "tags", { revalidate: false, apart: true, ask }));
  }

  /** Never rejects for an unknown digest (distribution spec, "Listing Referrers"). */
  async referrers(
    place: Place,
    digest: Digest,
    options: ReferrerSelection & { revalidate: boolean; priority: Priority },
  ): Promise<ReferrerPage> {
    const { artifactType, after = "" } = options;
    const remote = await this.#remoteReferrers(place, digest, options);
    const selected = remote.filter(
      (referrer) => referrer.digest > after && (artifactType === undefined || referrer.artifactType === artifactType),
    );
    return referrerPage(mergedReferrers(selected, storedReferrers(this.#database, place.name, digest, options)), options);
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

  /** The referrers API, else the fallback tag (distribution spec, "Unavailable Referrers API"); in digest order, each once. */
  async #askReferrers(place: Place, digest: Digest, priority: Priority): Promise<readonly Referrer[]> {
    const { client } = place.upstream;
    const listed = await client.referrers(place.repository, digest, priority);
    if (listed !== undefined) return readReferrers(listed);
    const fallback = await client.getManifest(place.repository, `${algorithmOf(digest)}-${hexOf(digest)}`, priority);
    if (fallback === undefined || fallback.contentType !== mediaTypes.ociIndex) return [];
    const manifests = manifestsOf(fallback.bytes);
    if (manifests.length <= maxReferrers) return readReferrers(manifests);
    throw new UpstreamError(
      "TooLarge",
      `${place.upstream.host} answers referrers of ${place.repository} with more than ${maxReferrers} entries, the most that is read`,
    );
  }
}

function manifestsOf(index: Buffer): readonly unknown[] {
  try {
    const { manifests } = JSON.parse(index.toString("utf8")) as { manifests?: unknown };
    return Array.isArray(manifests) ? manifests : [];
  } catch {
    return [];
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

/** Sorted once, not for every page. Of several descriptors with one digest the last counts. */
function readReferrers(descriptors: readonly unknown[]): readonly Referrer[] {
  const read = descriptors.map(readReferrer).filter((referrer) => referrer !== undefined);
  return [...new Map(read.map((referrer) => [referrer.digest, referrer])).values()].sort((a, b) => (a.digest < b.digest ? -1 : 1));
}

/** A descriptor as upstream wrote it, as far as it is listed, or undefined when it is none. */
function readReferrer(value: unknown): Referrer | undefined {
  const { mediaType, digest, size, artifactType, annotations } = (value ?? {}) as Record<string, unknown>;
  if (!isType(mediaType) || typeof digest !== "string" || !isDigest(digest)) return undefined;
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) return undefined;
  const texts = Object.entries(typeof annotations === "object" && annotations !== null ? annotations : {}).filter(
    (entry): entry is [string, string] => typeof entry[1] === "string",
  );
  const named = Object.fromEntries(texts);
  const listed = texts.length > 0 && Buffer.byteLength(JSON.stringify(named)) <= maxListedAnnotations;
  return { mediaType, digest, size, ...(isType(artifactType) ? { artifactType } : {}), ...(listed ? { annotations: named } : {}) };
}

function isType(value: unknown): value is string {
  return typeof value === "string" && value !== "" && value.length <= maxTypeLength;
}
