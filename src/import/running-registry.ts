// A running registry as a source: asked by the same way out that fronts upstreams, with its rules for redirects, realms and limits
// (design: upstream.md, "One way out").

import { isDigest, type Digest } from "../domain/digest.ts";
import { mediaTypes } from "../domain/media-types.ts";
import { targetUrl } from "../domain/registry-address.ts";
import { EgressPolicy } from "../registry/upstream/egress.ts";
import { UpstreamError } from "../registry/upstream/errors.ts";
import { discard } from "../registry/upstream/exchange.ts";
import { Requester } from "../registry/upstream/requester.ts";
import type { Credentials, SettingNames } from "../registry/upstream/target.ts";
import { UpstreamClient } from "../registry/upstream/upstream-client.ts";
import { SourceError, type ImportSource, type SourceBlob, type SourceErrorCode, type SourceManifest } from "./import-source.ts";
import { pages, type ListRequest } from "./registry-lists.ts";

export interface RunningRegistryOptions {
  /** Scheme, host and port. */
  readonly url: URL;
  readonly credentials: Credentials;
  /** Where they came from, for messages. */
  readonly credentialsFrom: string;
  /** Other hosts that may ask for the credentials, or be redirected to at private addresses. */
  readonly allowedHosts: readonly string[];
}

/** Milliseconds. A catalog over a bucket takes minutes to begin. */
const timeouts = { connect: 10_000, firstByte: 300_000, idle: 60_000, whole: 600_000 };
const priority = "pull";

export class RunningRegistry implements ImportSource {
  readonly name: string;
  readonly #requester: Requester;
  readonly #client: UpstreamClient;
  #hasReferrers = true;

  /** Asks once whether this is a registry. Rejects with SourceError. */
  static async open(options: RunningRegistryOptions): Promise<RunningRegistry> {
    const source = new RunningRegistry(options);
    try {
      await source.#check();
      return source;
    } catch (error) {
      await source.close();
      throw error;
    }
  }

  private constructor({ url, credentials, credentialsFrom, allowedHosts }: RunningRegistryOptions) {
    const target = targetUrl(url.href);
    this.name = target.origin;
    const settings: SettingNames = {
      credentials: credentialsFrom,
      insecure: "http:// in the address of the source",
      allowedHosts: "--allow-host",
      privateHosts: "--allow-host",
    };
    this.#requester = new Requester({
      // Who runs the import named the source himself: it may be in a private network.
      egress: new EgressPolicy({ allowedCIDRs: [], trustOwnHosts: true }),
      target: {
        key: target.host,
        url: target,
        insecure: target.protocol === "http:",
        allowedHosts,
        credentials,
        tls: {},
        timeouts,
        rateLimit: { reservePercent: 0 },
        settings,
      },
    });
    this.#client = new UpstreamClient(this.#requester);
  }

  async *repositories(): AsyncGenerator<string> {
    const unlisted = (why: string, cause?: unknown) =>
      new SourceError("Unlisted", `${this.name} gives no list of its repositories (${why}). Name them with --repository.`, { cause });
    const list = this.#list({ repository: "", path: "/v2/_catalog" }, (page) => textsIn(page["repositories"]));
    try {
      for await (const names of list) {
        if (names === undefined) throw unlisted("it has no catalog");
        yield* names;
      }
    } catch (error) {
      throw error instanceof SourceError && error.code === "Denied" ? unlisted(error.message, error) : error;
    }
  }

  async tags(repository: string): Promise<readonly string[] | undefined> {
    const list = { repository, path: `/v2/${repository}/tags/list` };
    const found = await this.#whole(list, (page) => textsIn(page["tags"]));
    return found === undefined ? undefined : [...new Set(found)];
  }

  async resolve(repository: string, tag: string): Promise<Digest | undefined> {
    const found = await asking(this.#client.headManifest(repository, tag, priority));
    if (found === undefined || found.digest !== undefined) return found?.digest;
    return (await asking(this.#client.getManifest(repository, tag, priority)))?.digest;
  }

  async manifest(repository: string, digest: Digest): Promise<SourceManifest | undefined> {
    const found = await asking(this.#client.getManifest(repository, digest, priority));
    return found === undefined ? undefined : { digest, mediaType: found.contentType, bytes: found.bytes };
  }

  async referrers(repository: string, digest: Digest): Promise<readonly Digest[]> {
    if (!this.#hasReferrers) return [];
    const list = { repository, path: `/v2/${repository}/referrers/${digest}`, headers: { accept: mediaTypes.ociIndex } };
    const found = await this.#whole(list, ({ manifests }) =>
      Array.isArray(manifests) ? (manifests as ({ digest?: unknown } | null)[]) : [],
    );
    // Registries with this API answer an empty list for what they do not know.
    if (found === undefined) this.#hasReferrers = false;
    return (found ?? []).flatMap((descriptor) => {
      const named = descriptor?.digest;
      return typeof named === "string" && isDigest(named) ? [named] : [];
    });
  }

  manifests(): Promise<readonly Digest[]> {
    return Promise.reject(new SourceError("Unlisted", `${this.name} runs, and a running registry does not list manifests without a tag`));
  }

  async hasBlob(repository: string, digest: Digest): Promise<boolean> {
    return (await asking(this.#client.headBlob(repository, digest, priority))) !== undefined;
  }

  async blob(repository: string, digest: Digest, from: number): Promise<SourceBlob | undefined> {
    const found = await asking(this.#client.getBlob(repository, digest, { from, priority }));
    return found === undefined
      ? undefined
      : { start: found.start, size: found.size, body: translated(found.body), discard: () => found.discard() };
  }

  close(): Promise<void> {
    return this.#requester.close();
  }

  /** GET /v2/: 200, or a refusal of whoever asks, which may hold for the base alone. */
  async #check(): Promise<void> {
    try {
      const { status, headers, body } = await asking(this.#requester.request({ method: "GET", repository: "", path: "/v2/", priority }));
      discard(body);
      const type = String(headers["content-type"] ?? "");
      if (status === 200 && !type.startsWith("text/html")) return;
      throw new SourceError("Unusable", `${this.name} is no registry: it answers /v2/ with ${status === 200 ? "a web page" : status}.`);
    } catch (error) {
      if (!(error instanceof SourceError)) throw error;
      if (error.code === "Denied" && this.#requester.target.credentials.state === "anonymous") return;
      throw new SourceError("Unusable", error.message, { cause: error });
    }
  }

  async *#list<T>(
    request: ListRequest,
    entriesOf: (page: Readonly<Record<string, unknown>>) => readonly T[],
  ): AsyncGenerator<readonly T[] | undefined> {
    try {
      for await (const page of pages(this.#requester, request)) yield page === undefined ? undefined : entriesOf(page);
    } catch (error) {
      throw toSourceError(error);
    }
  }

  async #whole<T>(
    request: ListRequest,
    entriesOf: (page: Readonly<Record<string, unknown>>) => readonly T[],
  ): Promise<readonly T[] | undefined> {
    const all: T[] = [];
    for await (const entries of this.#list(request, entriesOf)) {
      if (entries === undefined) return undefined;
      for (const entry of entries) all.push(entry);
    }
    return all;
  }
}

const textsIn = (value: unknown) => (Array.isArray(value) ? value.filter((entry): entry is string => typeof entry === "string") : []);

const codes: Readonly<Record<UpstreamError["code"], SourceErrorCode>> = {
  EgressRefused: "Unusable",
  Unreachable: "Unreachable",
  Timeout: "Failing",
  CircuitOpen: "Busy",
  ServerError: "Failing",
  RateLimited: "Busy",
  Denied: "Denied",
  CredentialsInvalid: "Unusable",
  NotImplemented: "Unusable",
  Schema1: "Schema1",
  UnexpectedAnswer: "Failing",
  TooLarge: "Unsupported",
  Truncated: "Failing",
  DigestMismatch: "WrongBytes",
};

function toSourceError(error: unknown): unknown {
  if (!(error instanceof UpstreamError)) return error;
  return new SourceError(codes[error.code], error.message, { cause: error, retryAfter: error.retryAfter });
}

async function asking<T>(request: Promise<T>): Promise<T> {
  try {
    return await request;
  } catch (error) {
    throw toSourceError(error);
  }
}

async function* translated(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* body;
  } catch (error) {
    throw toSourceError(error);
  }
}
