// What a registry is asked, in the words of the distribution spec. Undefined means that upstream said 404, and only that.

import { algorithmOf, digestOf, isDigest, type Digest } from "../../domain/digest.ts";
import { acceptedManifestTypes, headers, mediaTypes } from "../../domain/media-types.ts";
import { isTag } from "../../domain/reference.ts";
import type { Priority } from "./budget.ts";
import { UpstreamError } from "./errors.ts";
import { discard, readWhole, toUpstreamError, type Answer } from "./exchange.ts";
import { nextPage } from "./links.ts";
import type { Requester } from "./requester.ts";

export const maxManifestBytes = 4 * 1024 * 1024;
const maxPageBytes = 8 * 1024 * 1024;
const pageSize = 1000;
/** Pages of tags and referrers that are followed: 100,000 tags. */
const maxPages = 100;

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

/** A page of tags or referrers, unchecked; undefined: a status other than 200. */
type Page = { readonly tags?: unknown; readonly manifests?: unknown } | undefined;

export class UpstreamClient {
  readonly #requester: Requester;

  constructor(requester: Requester) {
    this.#requester = requester;
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

  /** All tags, unsorted; `complete` is false when the cap on pages was reached. */
  async tags(repository: string, priority: Priority): Promise<{ tags: readonly string[]; complete: boolean } | undefined> {
    const tags: string[] = [];
    const complete = await this.#pages(repository, `tags/list?n=${pageSize}`, priority, {}, (page, index) => {
      if (page === undefined) return index > 0;
      const found = page?.tags;
      if (Array.isArray(found)) tags.push(...found.filter((tag): tag is string => typeof tag === "string" && isTag(tag)));
      return true;
    });
    return complete === undefined ? undefined : { tags, complete };
  }

  /** Descriptors of the referrers API, unchecked; undefined when upstream does not have this API. */
  async referrers(repository: string, digest: Digest, priority: Priority): Promise<readonly unknown[] | undefined> {
    const found: unknown[] = [];
    const accept = { accept: mediaTypes.ociIndex };
    const complete = await this.#pages(repository, `referrers/${digest}`, priority, accept, (page, index) => {
      if (page === undefined) return index > 0;
      const manifests = page?.manifests;
      if (!Array.isArray(manifests)) return false;
      found.push(...(manifests as unknown[]));
      return true;
    });
    return complete === undefined ? undefined : found;
  }

  /** GET /v2/: is it a registry that talks to us? Rejects with UpstreamError. */
  async ping(): Promise<void> {
    const answer = await this.#requester.request({ method: "GET", repository: "", path: "/v2/", priority: "pull" });
    discard(answer.body);
    this.#expect(answer, [200, 404], "/v2/");
  }

  /**
   * Follows Link. `take` gets each page and says whether to go on.
   * True: read to the end; false: the cap was reached; undefined: `take` refused.
   */
  async #pages(
    repository: string,
    start: string,
    priority: Priority,
    sent: Record<string, string>,
    take: (page: Page, index: number) => boolean,
  ): Promise<boolean | undefined> {
    const { target } = this.#requester;
    let path: string | undefined = `/v2/${repository}/${start}`;
    for (let index = 0; path !== undefined; index++) {
      if (index === maxPages) return false;
      const answer: Answer = await this.#requester.request({ method: "GET", repository, path, headers: sent, priority });
      if (answer.status !== 200) {
        discard(answer.body);
        return take(undefined, index) ? true : undefined;
      }
      const body = await readWhole(target, answer, maxPageBytes);
      if (!take(this.#json(body, path), index)) return undefined;
      const next = nextPage(answer.headers["link"], new URL(path, target.url));
      path = next === path ? undefined : next;
    }
    return true;
  }

  #send(method: "GET" | "HEAD", repository: string, rest: string, priority: Priority, sent: Record<string, string>): Promise<Answer> {
    return this.#requester.request({ method, repository, path: `/v2/${repository}/${rest}`, headers: sent, priority });
  }

  async *#chunks(answer: Answer): AsyncGenerator<Uint8Array> {
    const { target } = this.#requester;
    try {
      yield* answer.body as AsyncIterable<Uint8Array>;
    } catch (error) {
      throw toUpstreamError(target, target.url, error);
    }
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

  #json(body: Buffer, path: string): NonNullable<Page> {
    try {
      return (JSON.parse(body.toString("utf8")) as Page | null) ?? {};
    } catch {
      throw new UpstreamError("UnexpectedAnswer", `${this.#host} answers ${path.replace(/\?.*$/, "")} with something that is not JSON`);
    }
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
