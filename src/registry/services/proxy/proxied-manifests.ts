// Manifests of proxied repositories (design: upstream.md, "Manifests"). By digest: fetched once. By tag: trusted for a while, then one question
// for all who wait; what upstream cannot answer in time or at all is served as it was, and says so.

import { LRUCache } from "lru-cache";

import type { Digest } from "../../../domain/digest.ts";
import type { Logger } from "../../../observability/logger.ts";
import { digestOfReferrerTag, type Reference } from "../../../domain/reference.ts";
import type { Database } from "../../metadata/database.ts";
import { pointProxiedTag, storeProxiedManifest } from "../../metadata/proxy-manifests.ts";
import { confirmProxiedTag, dropProxiedTag, type ProxiedTag } from "../../metadata/proxy-tags.ts";
import type { Priority } from "../../upstream/budget.ts";
import { UpstreamError } from "../../upstream/errors.ts";
import type { RemoteManifest } from "../../upstream/upstream-client.ts";
import { ServiceError } from "../errors.ts";
import type { ManifestAnswer } from "../pull/pull-service.ts";
import type { ProxyMetrics } from "./proxy-metrics.ts";
import { readRemoteManifest } from "./remote-manifest.ts";
import { SingleFlight } from "../single-flight.ts";
import type { StoredContent } from "../pull/stored-content.ts";
import { failureOf, withFailure } from "./upstream-failure.ts";
import type { Place } from "./upstreams.ts";
import { writable, type Writability } from "../upkeep/writability.ts";

/** Milliseconds that a pull of a cached tag waits for upstream's answer. */
const patience = 1000;
/** Milliseconds after a failure during which nobody waits at all. */
const failingFor = 30_000;
/** Milliseconds for which upstream's 404 is believed without asking again. */
const missingFor = 5000;
/** RFC 9111 5.5 in its older, still understood form. */
const staleWarning = '110 wharfinger "Response is Stale"';
const by = "upstream";

export interface ProxiedManifest extends ManifestAnswer {
  /** Undefined: it was passed through and is not kept. */
  readonly repositoryId?: number;
  /** True: upstream sent it for this answer. */
  readonly fetched?: boolean;
}

export interface ManifestRequest {
  readonly priority: Priority;
  /** Ask upstream now, and take nothing older for an answer. */
  readonly revalidate: boolean;
}

export class ProxiedManifests {
  readonly #database: Database;
  readonly #content: StoredContent;
  readonly #writability: Writability;
  readonly #logger: Logger;
  readonly #metrics: ProxyMetrics | undefined;
  readonly #fetching = new SingleFlight<ProxiedManifest | undefined>();
  readonly #asking = new SingleFlight<ProxiedManifest | undefined>();
  readonly #missing = new LRUCache<string, true>({ max: 10_000, ttl: missingFor });
  /** By origin: when the last question failed, if it did. */
  readonly #failedAt = new Map<string, number>();

  constructor(options: {
    database: Database;
    content: StoredContent;
    logger: Logger;
    metrics?: ProxyMetrics;
    /** Where nothing may be written, upstream's answers are passed on and not kept. */
    writability?: Writability;
  }) {
    this.#database = options.database;
    this.#writability = options.writability ?? writable;
    this.#content = options.content;
    this.#logger = options.logger;
    this.#metrics = options.metrics;
  }

  /** Rejects with ServiceError. */
  async manifest(place: Place, reference: Reference, request: ManifestRequest): Promise<ProxiedManifest> {
    return "digest" in reference ? this.#byDigest(place, reference.digest, request) : this.#byTag(place, reference.tag, request);
  }

  async #byDigest(place: Place, digest: Digest, request: ManifestRequest): Promise<ProxiedManifest> {
    const stored = await this.#content.manifest(place.name, { digest });
    if (stored !== undefined) return stored;
    if (place.upstream.offline) throw unknown(place, digest, "and its upstream is configured offline");
    const fetched = await withFailure(`${place.name}@${digest}`, this.#download(place, digest, request));
    if (fetched === undefined) throw unknown(place, digest, "and upstream does not have it");
    return fetched;
  }

  async #byTag(place: Place, tag: string, request: ManifestRequest): Promise<ProxiedManifest> {
    const { offline, cache } = place.upstream;
    const known = await this.#content.upstreamTag(place.name, tag, offline ? Infinity : cache.tagTTL);
    // The ledger wins over upstream's tag of the same name, and over its absence.
    if (known.version !== null) return this.#byDigest(place, known.version, request);
    if (!cache.keeps && !offline) return this.#through(place, tag, request);
    const cached = known.digest === null ? undefined : known.digest;
    if (cached !== undefined && (offline || (!request.revalidate && known.age !== null && known.age < cache.tagTTL))) {
      return this.#byDigest(place, cached, request);
    }
    if (offline) throw unknown(place, tag, "and its upstream is configured offline");
    const question = this.#ask(place, tag, known, request);
    if (cached !== undefined && !request.revalidate && mayBeStale(place, known))
      return this.#answerInTime(place, cached, question, request);
    return this.#answer(place, tag, question);
  }

  async #answer(place: Place, tag: string, question: Promise<ProxiedManifest | undefined>): Promise<ProxiedManifest> {
    const answer = await withFailure(`${place.name}:${tag}`, question);
    if (answer === undefined) throw unknown(place, tag, "and upstream does not have it");
    return answer;
  }

  /** The answer when it comes soon, else what was last confirmed; the question goes on without us. */
  async #answerInTime(
    place: Place,
    cached: Digest,
    question: Promise<ProxiedManifest | undefined>,
    request: ManifestRequest,
  ): Promise<ProxiedManifest> {
    const stale = async (): Promise<ProxiedManifest> => ({ ...(await this.#byDigest(place, cached, request)), warning: staleWarning });
    const outcome = question.then(
      (answer) => ({ answer }),
      (error: unknown) => ({ error }),
    );
    const wait = this.#isFailing(place) ? 0 : patience;
    const first = await Promise.race([outcome, afterwards(wait)]);
    if (first === "late") return stale();
    if ("error" in first) {
      if (first.error instanceof UpstreamError && first.error.temporary) return stale();
      throw failureOf(first.error, `${place.name}@${cached}`);
    }
    if (first.answer === undefined) throw unknown(place, cached, "and upstream does not have the tag any longer");
    return first.answer;
  }

  /** One question for all who wait. Undefined: upstream said 404. Rejects with UpstreamError. */
  #ask(place: Place, tag: string, known: ProxiedTag, request: ManifestRequest): Promise<ProxiedManifest | undefined> {
    const key = `${place.upstream.origin} ${place.repository}:${tag}`;
    if (this.#missing.has(key) && !request.revalidate) return Promise.resolve(undefined);
    return this.#asking.run(key, async () => {
      try {
        const answer =
          known.digest === null ? await this.#download(place, tag, request) : await this.#revalidate(place, tag, known.digest, request);
        this.#failedAt.delete(place.upstream.origin);
        if (answer !== undefined) return answer;
        const copy = await this.#withdraw(place, tag, known);
        if (copy === undefined) this.#missing.set(key, true);
        return copy;
      } catch (error) {
        if (error instanceof UpstreamError && error.temporary) this.#failedAt.set(place.upstream.origin, Date.now());
        this.#logger.info(
          { upstream: place.upstream.key, repository: place.name, tag, reason: (error as Error).message },
          "upstream not asked with success",
        );
        throw error;
      }
    });
  }

  /** One HEAD; a GET only when the tag moved, or when upstream does not name digests. */
  async #revalidate(place: Place, tag: string, cached: Digest, request: ManifestRequest): Promise<ProxiedManifest | undefined> {
    const { client } = place.upstream;
    const found = await client.headManifest(place.repository, tag, request.priority);
    if (found === undefined) return undefined;
    if (found.digest === undefined) return this.#download(place, tag, request);
    const keeps = await this.#keeps(place);
    const here = keeps ? undefined : await this.#content.manifest(place.name, { digest: found.digest });
    if (here !== undefined) return here;
    if (keeps && found.digest === cached && (await confirmProxiedTag(this.#database, place.name, tag, cached))) {
      await this.#content.dropTag(place.name, tag);
      const stored = await this.#content.manifest(place.name, { digest: cached });
      if (stored !== undefined) return stored;
    }
    if (keeps && (await pointProxiedTag(this.#database, repositoryOf(place), tag, found.digest, { by }))) {
      await this.#content.dropTag(place.name, tag);
      return this.#content.manifest(place.name, { digest: found.digest });
    }
    const remote = await client.getManifest(place.repository, found.digest, request.priority);
    // It moved on between the two questions.
    if (remote === undefined) return this.#download(place, tag, request);
    return this.#keep(place, remote, tag);
  }

  /** GET by tag or digest, once for all who wait. */
  #download(place: Place, reference: string, request: ManifestRequest): Promise<ProxiedManifest | undefined> {
    const key = `${place.upstream.origin} ${place.repository}@${reference}`;
    if (this.#missing.has(key) && !request.revalidate) return Promise.resolve(undefined);
    return this.#fetching.run(key, async () => {
      const remote = await place.upstream.client.getManifest(place.repository, reference, request.priority);
      if (remote !== undefined) return this.#keep(place, remote, reference.includes(":") ? undefined : reference);
      this.#missing.set(key, true);
      return undefined;
    });
  }

  async #keep(place: Place, remote: RemoteManifest, tag: string | undefined): Promise<ProxiedManifest> {
    const { digest, bytes } = remote;
    const manifest = readRemoteManifest(remote, `${place.repository}@${digest}`);
    this.#metrics?.pulledBytes(place.upstream.key, "manifest", bytes.byteLength);
    const answer = { digest, bytes, mediaType: manifest.mediaType, fetched: true };
    if (!(await this.#keeps(place))) return answer;
    const repositoryId = await storeProxiedManifest(
      this.#database,
      repositoryOf(place),
      { digest, bytes, manifest },
      { by, ...(tag === undefined ? {} : { tag }) },
    );
    if (tag !== undefined) await this.#content.dropTag(place.name, tag);
    return { ...answer, repositoryId };
  }

  /** cache.mode Never: nothing is remembered. */
  async #through(place: Place, tag: string, request: ManifestRequest): Promise<ProxiedManifest> {
    return this.#answer(place, tag, this.#download(place, tag, request));
  }

  /** Upstream said 404. Evidence of a digest is answered from the copy: publishers clean up what belongs to versions that are still in use. */
  async #withdraw(place: Place, tag: string, { digest }: ProxiedTag): Promise<ProxiedManifest | undefined> {
    if (digest === null) return undefined;
    if (digestOfReferrerTag(tag) !== undefined) return this.#content.manifest(place.name, { digest });
    if (!(await this.#keeps(place))) return undefined;
    await dropProxiedTag(this.#database, place.name, tag, by);
    await this.#content.dropTag(place.name, tag);
    return undefined;
  }

  async #keeps(place: Place): Promise<boolean> {
    return place.upstream.cache.keeps && (await this.#writability.refusal("Add")) === undefined;
  }

  #isFailing(place: Place): boolean {
    const failedAt = this.#failedAt.get(place.upstream.origin);
    return failedAt !== undefined && Date.now() - failedAt < failingFor;
  }
}

/** Confirmed recently enough that it may be served while upstream fails. */
function mayBeStale(place: Place, { age }: ProxiedTag): boolean {
  return age !== null && age <= place.upstream.cache.tagTTL + place.upstream.cache.staleIfError;
}

async function afterwards(milliseconds: number): Promise<"late"> {
  await new Promise((resolve) => setTimeout(resolve, milliseconds).unref());
  return "late";
}

const repositoryOf = (place: Place) => ({ name: place.name, upstream: place.upstream.key });

function unknown(place: Place, reference: string, why: string): ServiceError {
  return new ServiceError("MANIFEST_UNKNOWN", `${place.name} ${reference} is not cached, ${why}`, {
    detail: { name: place.name, reference },
  });
}
