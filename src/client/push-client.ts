// Writing images through the registry's /v2, as any client does it: everything the registry promises about a push holds (storage.md, Protocol).

import type { Readable } from "node:stream";

import { lostBlobsHeader } from "../api/control/protocol.ts";
import { isDigest, type Digest } from "../domain/digest.ts";
import { acceptedManifestTypes, headers, mediaTypes } from "../domain/media-types.ts";
import { ClientError } from "./errors.ts";
import { Transport, type Answer, type ClientOptions } from "./transport.ts";

/** Where a blob is sent to: path and query of its upload session. */
export type UploadLocation = string;

export interface ManifestThere {
  readonly digest: Digest;
  readonly mediaType: string;
  /** Of its blobs, how many the registry had and lost; 0 where it says nothing about that. */
  readonly lostBlobs: number;
}

export interface BlobPart {
  /** First byte of the blob that `body` begins with. */
  readonly start: number;
  /** Of the whole blob, bytes; undefined when it is not known. */
  readonly size: number | undefined;
  readonly body: Readable;
}

/** Milliseconds for the registry to make a whole blob durable after its last byte. */
const commitTime = 300_000;

/** Every call rejects with ClientError. */
export class PushClient {
  readonly #transport: Transport;

  constructor(options: ClientOptions) {
    this.#transport = new Transport(options);
  }

  /** What is stored under a tag or digest. HEAD: it also renews the time that the registry keeps what is not yet named (U3). */
  async headManifest(repository: string, reference: string): Promise<ManifestThere | undefined> {
    const accept = acceptedManifestTypes.join(", ");
    const answer = await this.#find({ method: "HEAD", path: `/v2/${repository}/manifests/${reference}`, headers: { accept } });
    if (answer === undefined) return undefined;
    const digest = answer.headers[headers.contentDigest];
    if (typeof digest !== "string" || !isDigest(digest))
      throw new ClientError("Failed", `The registry named no digest for ${repository}, ${reference}`, { status: answer.status });
    const lostBlobs = Number(answer.headers[lostBlobsHeader] ?? 0);
    return { digest, mediaType: String(answer.headers["content-type"] ?? ""), lostBlobs };
  }

  async hasBlob(repository: string, digest: Digest): Promise<boolean> {
    try {
      return (await this.#find({ method: "HEAD", path: `/v2/${repository}/blobs/${digest}` })) !== undefined;
    } catch (error) {
      // A registry that sends its readers to a bucket does so for what it has.
      if (error instanceof ClientError && error.status === 307) return true;
      throw error;
    }
  }

  /** Undefined: the registry had the blob and this repository has it now; otherwise send it there. */
  async mountOrStart(repository: string, digest: Digest): Promise<UploadLocation | undefined> {
    const algorithm = digest.startsWith("sha512:") ? "&digest-algorithm=sha512" : "";
    const path = `/v2/${repository}/blobs/uploads/?mount=${digest}${algorithm}`;
    const answer = await this.#transport.send({ method: "POST", path });
    return answer.status === 201 ? undefined : this.#location(answer);
  }

  /** The blob from `part.start` to its end; stored when it resolves. What arrived before the body broke is lost. */
  async upload(location: UploadLocation, digest: Digest, part: BlobPart): Promise<void> {
    await this.#send("PUT", `${location}${location.includes("?") ? "&" : "?"}digest=${digest}`, part);
  }

  /** More of the blob, from `part.start` on. What arrived before the body broke stays, and `uploadOffset` says how much that is. */
  async append(location: UploadLocation, part: BlobPart): Promise<UploadLocation> {
    return this.#location(await this.#send("PATCH", location, part));
  }

  /** Bytes that the session has, 0 where it cannot be told; undefined when it is gone. */
  async uploadOffset(location: UploadLocation): Promise<number | undefined> {
    const answer = await this.#find({ method: "GET", path: location });
    const last = /^(?:bytes=)?0-(\d{1,15})$/.exec(String(answer?.headers["range"] ?? ""))?.[1];
    // `0-0` means one byte, and is also what is sent for none.
    return answer === undefined ? undefined : last === undefined || last === "0" ? 0 : Number(last) + 1;
  }

  /** Rejects with ClientError Refused when nothing may be pushed to `repository`. Stores nothing. */
  async probe(repository: string): Promise<void> {
    const answer = await this.#transport.send({ method: "POST", path: `/v2/${repository}/blobs/uploads/` });
    await this.cancelUpload(this.#location(answer));
  }

  /** Gives up a session; whether it works does not matter: abandoned ones expire. */
  async cancelUpload(location: UploadLocation): Promise<void> {
    await this.#transport.send({ method: "DELETE", path: location }).catch(() => undefined);
  }

  /** Under its digest, or under a tag. */
  async putManifest(
    repository: string,
    manifest: { readonly digest: Digest; readonly mediaType: string; readonly bytes: Uint8Array },
    options: { readonly tag?: string } = {},
  ): Promise<void> {
    await this.#transport.send({
      method: "PUT",
      path: `/v2/${repository}/manifests/${options.tag ?? manifest.digest}`,
      headers: { "content-type": manifest.mediaType },
      body: manifest.bytes,
    });
  }

  /** Ends what is still running. */
  destroy(): Promise<void> {
    return this.#transport.destroy();
  }

  #send(method: "PUT" | "PATCH", path: string, { start, size, body }: BlobPart): Promise<Answer> {
    const length = size === undefined ? undefined : size - start;
    const sent: Record<string, string> = { "content-type": mediaTypes.octetStream };
    if (length !== undefined) sent["content-length"] = String(length);
    if (length !== undefined && length > 0) sent["content-range"] = `${start}-${start + length - 1}`;
    return this.#transport.send({ method, path, headers: sent, body, timeout: commitTime });
  }

  async #find(exchange: Parameters<Transport["send"]>[0]): Promise<Answer | undefined> {
    try {
      return await this.#transport.send(exchange);
    } catch (error) {
      if (error instanceof ClientError && error.code === "NotFound") return undefined;
      throw error;
    }
  }

  /** The registry's own host, whatever a Location says. */
  #location(answer: Answer): UploadLocation {
    const stated = answer.headers["location"];
    const url = typeof stated === "string" ? URL.parse(stated, "http://registry.invalid") : null;
    if (url === null) throw new ClientError("Failed", "The registry began an upload without saying where", { status: answer.status });
    return url.pathname + url.search;
  }
}
