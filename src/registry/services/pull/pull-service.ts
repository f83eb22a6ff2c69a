// What both kinds of repositories can answer to a pull: the team's own (own-pull.ts) and those of an Upstream (proxy-pull.ts).

import type { Digest } from "../../../domain/digest.ts";
import type { Reference } from "../../../domain/reference.ts";
import type { BlobReader, Span } from "../../blobs/blob-store.ts";

/** Who asks. `mayPush` makes an existence check extend the lease (storage, U3). */
export interface Caller {
  /** `user:ci`, `anonymous`, `admin`, `run:<id>`: what logs and history say. */
  readonly identity: string;
  /** Whose share of limited things it takes; `identity` by default. Without a login it is the client's address. */
  readonly sender?: string;
  readonly mayPush: boolean;
  /** It looks and runs nothing: its pulls are not counted. */
  readonly scanner?: boolean;
  /** An administrator or a tag-sync run asks for the upstream's answer of now (`Cache-Control: no-cache`). */
  readonly revalidate: boolean;
}

export interface ManifestAnswer {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: Uint8Array;
  /** Of its blobs, how many were held and lost their bytes; told to whoever asks with HEAD and may push. */
  readonly lostBlobs?: number;
  /** Value of a `Warning` header, when the answer is stale. */
  readonly warning?: string;
}

export interface BlobAnswer {
  readonly digest: Digest;
  readonly size: number;
  /** An address that gives the whole blob in our place, where there is one. */
  link?(): Promise<string | undefined>;
  /** Opens the bytes, for `span` of them when not all will be read; not called for HEAD. */
  open(span?: Span): Promise<BlobReader>;
}

export interface TagPage {
  readonly tags: readonly string[];
  /** More tags sort behind the last one. */
  readonly more: boolean;
}

export interface Referrer {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface ReferrerPage {
  /** In digest order. */
  readonly referrers: readonly Referrer[];
  /** More referrers sort behind the last one. */
  readonly more: boolean;
}

export interface ReferrerSelection {
  readonly artifactType?: string;
  /** Exclusive. */
  readonly after?: Digest;
  /** Told how many bytes the page has so far, before it has them; what it throws ends the page. */
  readonly hold?: (bytes: number) => void;
}

export interface PullService {
  /** Rejects with ServiceError NAME_UNKNOWN or MANIFEST_UNKNOWN. `head` answers may cost less upstream. */
  manifest(repository: string, reference: Reference, caller: Caller, options: { head: boolean }): Promise<ManifestAnswer>;
  /** Rejects with ServiceError NAME_UNKNOWN or BLOB_UNKNOWN. `gone`: nobody waits for the answer any more. */
  blob(repository: string, digest: Digest, caller: Caller, options: { head: boolean; gone?: AbortSignal }): Promise<BlobAnswer>;
  /** Sorted bytewise; `after` is exclusive; at most `limit`. */
  tags(repository: string, caller: Caller, page: { limit: number; after?: string }): Promise<TagPage>;
  /** Manifests whose `subject` is `digest`; empty when there are none, also for an unknown digest (spec: never 404). `after` is exclusive. */
  referrers(repository: string, digest: Digest, caller: Caller, page: ReferrerSelection): Promise<ReferrerPage>;
}
