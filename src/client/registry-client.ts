// Reading images through the registry's /v2, as a job does it: manifests whole and verified, documents under a cap.

import { digestOf, algorithmOf, isDigest, type Digest } from "../domain/digest.ts";
import { runHeader } from "../api/control/protocol.ts";
import { acceptedManifestTypes, headers, mediaTypes } from "../domain/media-types.ts";
import { ClientError } from "./errors.ts";
import { Transport, type ClientOptions, type TransportOptions } from "./transport.ts";

const maxManifestBytes = 4 * 1024 * 1024;
/** The registry ends a page before 4 MiB, unless its one entry is longer. */
const maxReferrersBytes = 8 * 1024 * 1024;

export interface FetchedManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: Uint8Array;
}

export interface ListedReferrer {
  readonly digest: Digest;
  readonly artifactType?: string;
}

export class RegistryClient {
  readonly #transport: Transport;

  /** `run`: the run that asks, so that the registry counts and ranks its pulls as a job's, not as a person's. */
  constructor({ run, ...options }: ClientOptions & Pick<TransportOptions, "signal"> & { run?: string }) {
    this.#transport = new Transport(run === undefined ? options : { ...options, headers: { [runHeader]: run } });
  }

  /** Where a tag points now. `revalidate` makes the registry ask its upstream. Undefined when there is no such tag. */
  async resolve(repository: string, reference: string, options: { revalidate?: boolean } = {}): Promise<Digest | undefined> {
    try {
      const answer = await this.#transport.send({
        method: "HEAD",
        path: `/v2/${repository}/manifests/${reference}`,
        headers: manifestHeaders(options),
      });
      const digest = answer.headers[headers.contentDigest];
      if (typeof digest !== "string" || !isDigest(digest))
        throw new ClientError("Failed", `The registry named no digest for ${repository}:${reference}`, { status: answer.status });
      return digest;
    } catch (error) {
      if (!(error instanceof ClientError) || error.status === 0) throw error;
      if (error.code === "NotFound") return undefined;
      // The answer to HEAD has no body, so only a GET says why; or it finds what was away a moment ago.
      return (await this.manifest(repository, reference, options))?.digest;
    }
  }

  /** By tag or digest; a digest is checked against the bytes. Undefined when there is none. */
  async manifest(repository: string, reference: string, options: { revalidate?: boolean } = {}): Promise<FetchedManifest | undefined> {
    try {
      const answer = await this.#transport.send({
        method: "GET",
        path: `/v2/${repository}/manifests/${reference}`,
        headers: manifestHeaders(options),
        maxBytes: maxManifestBytes,
      });
      const digest = isDigest(reference) ? reference : digestOf(answer.body);
      verify(digest, answer.body, `${repository}@${digest}`);
      return { digest, mediaType: String(answer.headers["content-type"] ?? ""), bytes: answer.body };
    } catch (error) {
      if (error instanceof ClientError && error.code === "NotFound") return undefined;
      throw error;
    }
  }

  /** A document (attestation, configuration) whole; ClientError TooLarge beyond `maxBytes`. */
  async blob(repository: string, digest: Digest, options: { maxBytes: number }): Promise<Uint8Array> {
    const answer = await this.#transport.send({ method: "GET", path: `/v2/${repository}/blobs/${digest}`, maxBytes: options.maxBytes });
    verify(digest, answer.body, `${repository}@${digest}`);
    return answer.body;
  }

  /** What refers to a manifest, as upstream lists it now. ClientError TooLarge for more than `max`. */
  async referrers(repository: string, digest: Digest, { max }: { max: number }): Promise<readonly ListedReferrer[]> {
    const referrers: ListedReferrer[] = [];
    for (let query = ""; ;) {
      const page = await this.#referrersPage(`/v2/${repository}/referrers/${digest}${query}`);
      referrers.push(...page.referrers);
      if (referrers.length > max)
        throw new ClientError("TooLarge", `${repository}@${digest} has more than ${max} referrers`, { status: 200 });
      if (!page.more) return referrers;
      query = `?last=${referrers.at(-1)?.digest ?? ""}`;
    }
  }

  close(): Promise<void> {
    return this.#transport.close();
  }

  /** Ends what is still running, too. */
  destroy(): Promise<void> {
    return this.#transport.destroy();
  }

  async #referrersPage(path: string): Promise<{ readonly referrers: readonly ListedReferrer[]; readonly more: boolean }> {
    try {
      const answer = await this.#transport.send({
        method: "GET",
        path,
        headers: { accept: mediaTypes.ociIndex, "cache-control": "no-cache" },
        maxBytes: maxReferrersBytes,
      });
      const { manifests } = JSON.parse(Buffer.from(answer.body).toString("utf8")) as { readonly manifests: readonly ListedReferrer[] };
      return { referrers: manifests, more: answer.headers["link"] !== undefined && manifests.length > 0 };
    } catch (error) {
      if (error instanceof ClientError && error.code === "NotFound") return { referrers: [], more: false };
      throw error;
    }
  }
}

function manifestHeaders(options: { revalidate?: boolean }): Record<string, string> {
  return { accept: acceptedManifestTypes.join(", "), ...(options.revalidate === true ? { "cache-control": "no-cache" } : {}) };
}

function verify(digest: Digest, bytes: Uint8Array, subject: string): void {
  const found = digestOf(bytes, algorithmOf(digest));
  if (found !== digest) throw new ClientError("Failed", `${subject}: the bytes hash to ${found}`, { status: 200 });
}
