// What a registry is asked, in the words of the distribution spec. Undefined means that upstream said 404, and only that.

import { algorithmOf, digestOf, isDigest, type Digest } from "../../domain/digest.ts";
import { isSchema1, maxManifestBytes } from "../../domain/manifest.ts";
import { acceptedManifestTypes, headers, mediaTypes } from "../../domain/media-types.ts";
import { isTag } from "../../domain/reference.ts";
import type { Priority } from "./budget.ts";
import { UpstreamError } from "./errors.ts";
import { discard, piecesOf, readWhole, toUpstreamError, type Answer } from "./exchange.ts";
import { RemoteLists, type ListLimits } from "./remote-lists.ts";
import type { Requester } from "./requester.ts";

const pageSize = 1000;
const tagLimits: ListLimits = { entries: 100_000, bytes: 32 * 1024 * 1024, pages: 2000 };
export const maxReferrers = 10_000;
const referrerLimits: ListLimits = { entries: maxReferrers, bytes: 8 * 1024 * 1024, pages: 100 };

export interface RemoteManifest {
  /** Of the bytes. */
  readonly digest: Digest;
  /** As upstream says it, without parameters, lower case. */
  readonly contentType: string;
  readonly bytes: Buffer;
}

export interface RemoteBody {
  /** First byte that this body delivers: 0, or what was asked for when upstream honoured the range. */
  readonly start: number;
  /** Size of the whole blob in bytes; undefined when upstream does not say. */
  readonly size: number | undefined;
  readonly body: AsyncIterable<Uint8Array>;
  /** Ends the transfer. */
  discard(): void;
}

export class UpstreamClient {
  readonly #requester: Requester;
  readonly #lists: RemoteLists;

  /** `listTime`: milliseconds for all pages of a list. */
  constructor(requester: Requester, options: { readonly listTime?: number } = {}) {
    this.#requester = requester;
    this.#lists = new RemoteLists(requester, options);
  }

  /** One HEAD. `digest` is undefined when upstream names none: then only a GET can tell. */
  async headManifest(repository: string, reference: string, priority: Priority): Promise<{ digest: Digest | undefined } | undefined> {
    const answer = await this.#send("HEAD", repository, `manifests/${reference}`, priority, { accept: acceptedManifestTypes.join(", ") });
    discard(answer.body);
    if (answer.status === 404) return undefined;
    // Some registries have no HEAD here.
    if (answer.status === 405 || answer.status === 400) return { digest: undefined };
    this.#expect(answer, [200], `HEAD of ${repository} manifest ${reference}`);
    const stated = first(answer.headers[headers.contentDigest]);
    return { digest: stated !== undefined && isDigest(stated) ? stated : undefined };
  }

  /** Bytes whole and checked: against the digest asked for, or against the one upstream states. */
  async getManifest(repository: string, reference: string, priority: Priority): Promise<RemoteManifest | undefined> {
    const answer = await this.#send("GET", repository, `manifests/${reference}`, priority, { accept: acceptedManifestTypes.join(", ") });
    if (answer.status === 404) {
      discard(answer.body);
      return undefined;
    }
    this.#expect(answer, [200], `manifest ${reference} of ${repository}`);
    if (isSchema1(contentTypeOf(answer))) {
      discard(answer.body);
      throw new UpstreamError(
        "Schema1",
        `${this.#host} answers ${repository} manifest ${reference} in Docker's schema 1, which is not stored here`,
      );
    }
    const bytes = await readWhole(this.#requester.target, answer, maxManifestBytes);
    const stated = first(answer.headers[headers.contentDigest]);
    const expected = isDigest(reference) ? reference : stated !== undefined && isDigest(stated) ? stated : digestOf(bytes);
    const digest = digestOf(bytes, algorithmOf(expected));
    if (digest !== expected) {
      throw new UpstreamError(
        "DigestMismatch",
        `${this.#host} answers ${repository} manifest ${reference} with bytes that hash to ${digest}`,
      );
    }
    return { digest, contentType: contentTypeOf(answer), bytes };
  }

  /** One HEAD. `size` is undefined when upstream does not say. */
  async headBlob(repository: string, digest: Digest, priority: Priority): Promise<{ size: number | undefined } | undefined> {
    const answer = await this.#send("HEAD", repository, `blobs/${digest}`, priority, {});
    discard(answer.body);
    if (answer.status === 404) return undefined;
    this.#expect(answer, [200], `HEAD of blob ${digest} of ${repository}`);
    this.#refuseHtml(answer, `blob ${digest} of ${repository}`);
    return { size: lengthOf(answer.headers["content-length"]) };
  }

  /** A blob from byte `from` on. Iterating `body` rejects with UpstreamError; nothing of it is checked here. */
  async getBlob(repository: string, digest: Digest, options: { from: number; priority: Priority }): Promise<RemoteBody | undefined> {
    const range: Record<string, string> = options.from > 0 ? { range: `bytes=${options.from}-` } : {};
    const answer = await this.#send("GET", repository, `blobs/${digest}`, options.priority, range);
    if (answer.status === 404) {
      discard(answer.body);
      return undefined;
    }
    const subject = `blob ${digest} of ${repository}`;
    this.#expect(answer, options.from > 0 ? [200, 206] : [200], subject);
    this.#refuseHtml(answer, subject);
    const part = answer.status === 206 ? contentRange(answer, options.from) : undefined;
    if (answer.status === 206 && part === undefined) {
      discard(answer.body);
      throw new UpstreamError("UnexpectedAnswer", `${this.#host} answers another range of ${subject} than was asked for`);
    }
    return {
      start: part === undefined ? 0 : options.from,
      size: part === undefined ? lengthOf(answer.headers["content-length"]) : part.size,
      body: this.#chunks(answer),
      discard: () => discard(answer.body),
    };
  }

  /**
   * All tags, each once, in upstream's order; undefined when it has no such repository. Rejects with UpstreamError TooLarge beyond the limits.
   * `pages`: as many requests and no more.
   */
  async tags(repository: string, priority: Priority, options: { readonly pages?: number } = {}): Promise<readonly string[] | undefined> {
    const limits = { ...tagLimits, ...options };
    const list = {
      repository,
      start: `tags/list?n=${pageSize}`,
      priority,
      headers: {},
      limits,
      isAbsent: (status: number) => status === 404,
    };
    const found = await this.#lists.all(list, ({ tags }) =>
      Array.isArray(tags) ? tags.filter((tag: unknown) => typeof tag === "string" && isTag(tag)) : [],
    );
    return found === undefined ? undefined : [...new Set(found as string[])];
  }

  /** Descriptors of the referrers API, unchecked; undefined when upstream does not have this API. Rejects like `tags`. */
  async referrers(repository: string, digest: Digest, priority: Priority): Promise<readonly unknown[] | undefined> {
    const headers = { accept: mediaTypes.ociIndex };
    // Registries without this API say so in many ways.
    const list = { repository, start: `referrers/${digest}`, priority, headers, limits: referrerLimits, isAbsent: () => true };
    return this.#lists.all(list, ({ manifests }) => (Array.isArray(manifests) ? (manifests as unknown[]) : undefined));
  }

  #send(method: "GET" | "HEAD", repository: string, rest: string, priority: Priority, sent: Record<string, string>): Promise<Answer> {
    return this.#requester.request({ method, repository, path: `/v2/${repository}/${rest}`, headers: sent, priority });
  }

  #chunks(answer: Answer): AsyncGenerator<Uint8Array> {
    const { target } = this.#requester;
    const pieces = piecesOf(answer.body);
    return (async function* () {
      try {
        yield* pieces;
      } catch (error) {
        throw toUpstreamError(target, target.url, error);
      }
    })();
  }

  #expect(answer: Answer, statuses: readonly number[], subject: string): void {
    if (statuses.includes(answer.status)) return;
    discard(answer.body);
    throw new UpstreamError("UnexpectedAnswer", `${this.#host} answers ${answer.status} for ${subject}`);
  }

  /** A login or error page with status 200 is no blob, whatever its size. */
  #refuseHtml(answer: Answer, subject: string): void {
    if (contentTypeOf(answer) !== "text/html") return;
    discard(answer.body);
    throw new UpstreamError("UnexpectedAnswer", `${this.#host} answers ${subject} with an HTML page`);
  }

  get #host(): string {
    return this.#requester.target.url.host;
  }
}

const first = (header: string | string[] | undefined) => (Array.isArray(header) ? header[0] : header);

const contentTypeOf = (answer: Answer) => (first(answer.headers["content-type"]) ?? "").replace(/;.*$/, "").trim().toLowerCase();

function lengthOf(header: string | string[] | undefined): number | undefined {
  const text = first(header);
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** `bytes 100-999/1000`, only when it begins where we asked and goes to the end. */
function contentRange(answer: Answer, from: number): { size: number } | undefined {
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/.exec(first(answer.headers["content-range"]) ?? "");
  if (match === null) return undefined;
  const [start, end, size] = [Number(match[1]), Number(match[2]), Number(match[3])];
  return start === from && end === size - 1 ? { size } : undefined;
}
