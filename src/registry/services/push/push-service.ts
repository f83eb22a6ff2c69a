// What a client can write: only repositories of our own (design: storage.md, Protocol; distribution spec, "Push").

import type { Digest, DigestAlgorithm } from "../../../domain/digest.ts";
import type { Reference } from "../../../domain/reference.ts";
import type { Caller } from "../pull/pull-service.ts";

export interface UploadStatus {
  readonly id: string;
  readonly offset: number;
}

/**
 * Bytes as they arrive. Stall and rate limits are the HTTP layer's: it makes the iteration throw. Who yields a piece gives it away: once it is
 * written, its memory is taken back (`giveBack`) and the piece is empty. Yield a copy of what you still need.
 */
export type Body = AsyncIterable<Uint8Array>;

export interface PushService {
  /** TOOMANYREQUESTS when too many sessions are open. */
  startUpload(repository: string, caller: Caller, options: { algorithm: DigestAlgorithm }): Promise<UploadStatus>;
  /** Mount (U3): the digest when the blob is now readable in `repository`, undefined when the client must upload. `from` undefined: from any repository in `readable`. */
  mount(
    repository: string,
    caller: Caller,
    options: { digest: Digest; from?: string; readable: (repository: string) => boolean },
  ): Promise<Digest | undefined>;
  /** Of a session that the caller began; BLOB_UPLOAD_UNKNOWN of another's, the installation's admin aside. */
  uploadStatus(repository: string, id: string, caller: Caller): Promise<UploadStatus>;
  /** PATCH. `start` from Content-Range must equal the offset (else ServiceError RANGE_INVALID, nothing taken); undefined: append. `length`: what the client declared; `gone`: nobody waits for the answer any more. */
  append(
    repository: string,
    id: string,
    caller: Caller,
    options: { start?: number; length?: number; body: Body; gone?: AbortSignal },
  ): Promise<UploadStatus>;
  /** PUT: last bytes, then U2. A session that is gone succeeds when this repository has the digest already. */
  complete(
    repository: string,
    id: string,
    caller: Caller,
    options: { digest: Digest; start?: number; length?: number; body: Body; gone?: AbortSignal },
  ): Promise<void>;
  /** For whom `uploadStatus` answers. */
  cancel(repository: string, id: string, caller: Caller): Promise<void>;
  /** POST ?digest= with the whole blob. */
  uploadWhole(repository: string, caller: Caller, options: { digest: Digest; length?: number; body: Body }): Promise<void>;

  /** M1. `tags`: the tag of the URL, or those of `?tag=`. Returns the digest, and the subject for OCI-Subject. */
  putManifest(
    repository: string,
    caller: Caller,
    options: {
      reference: Reference;
      tags: readonly string[];
      mediaType: string | undefined;
      bytes: Uint8Array;
      isProtected: (tag: string) => boolean;
    },
  ): Promise<{ digest: Digest; subject?: Digest }>;
  /** D1 for a digest; a tag loses only the tag. */
  deleteManifest(
    repository: string,
    reference: Reference,
    caller: Caller,
    options: { isProtected: (tag: string) => boolean },
  ): Promise<void>;
  deleteBlob(repository: string, digest: Digest, caller: Caller): Promise<void>;
}
