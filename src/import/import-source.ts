// What a registry that is taken over is asked, wherever its content lies. Adapters: registry-layout.ts (a folder or a bucket) and
// running-registry.ts. Every adapter passes the conformance suite beside this file.

import type { Digest } from "../domain/digest.ts";

export interface SourceManifest {
  readonly digest: Digest;
  /** Without parameters. */
  readonly mediaType: string;
  /** They hash to `digest`. */
  readonly bytes: Uint8Array;
}

export interface SourceBlob {
  /** First byte of `body`: what was asked for, or 0. */
  readonly start: number;
  /** Of the whole blob, bytes; undefined when the source does not say. */
  readonly size: number | undefined;
  /** Nothing of it is checked. Iterating rejects with SourceError. */
  readonly body: AsyncIterable<Uint8Array>;
  /** Ends it, begun or not: what holds it is free for others. */
  readonly discard: () => void;
}

/** Undefined always means: the source says that it has no such thing. Every call rejects with SourceError. */
export interface ImportSource {
  /** For messages: folder, bucket or address; never a credential. */
  readonly name: string;
  /** Every repository. `leftOut`: what cannot be looked into, while the others go on. SourceError Unlisted where the source has no list. */
  repositories(leftOut: (folder: string, why: SourceError) => void): AsyncIterable<string>;
  tags(repository: string): Promise<readonly string[] | undefined>;
  /** What a tag points at. */
  resolve(repository: string, tag: string): Promise<Digest | undefined>;
  manifest(repository: string, digest: Digest): Promise<SourceManifest | undefined>;
  /** Manifests whose subject is `digest`; empty where the source has no list of them. */
  referrers(repository: string, digest: Digest): Promise<readonly Digest[]>;
  /** Every manifest, tagged or not. SourceError Unlisted where the source has no list. */
  manifests(repository: string): Promise<readonly Digest[]>;
  hasBlob(repository: string, digest: Digest): Promise<boolean>;
  /** A blob from byte `from` on, or from its beginning where the source cannot do that. Whoever asked discards it in the end. */
  blob(repository: string, digest: Digest, from: number): Promise<SourceBlob | undefined>;
  /** Ends what is still running. */
  close(): Promise<void>;
}

export type SourceErrorCode =
  | "Unusable" // nothing can be read from it: not a registry, no such bucket, an address that may not be asked
  | "Unreachable" // no connection
  | "Busy" // it asks to wait
  | "Failing" // 5xx, cut answers, silence
  | "Denied" // this part may not be read
  | "Unlisted" // it has no list of what was asked for
  | "Schema1"
  | "Unsupported" // a manifest that cannot be stored anywhere
  | "BrokenLink"
  | "WrongBytes";

const temporaryCodes: ReadonlySet<SourceErrorCode> = new Set(["Unreachable", "Busy", "Failing"]);

export class SourceError extends Error {
  readonly code: SourceErrorCode;
  /** Seconds to wait, where the source says so. */
  readonly retryAfter: number | undefined;

  constructor(code: SourceErrorCode, message: string, options: { cause?: unknown; retryAfter?: number | undefined } = {}) {
    super(message, { cause: options.cause });
    this.name = "SourceError";
    this.code = code;
    this.retryAfter = options.retryAfter;
  }

  /** It may be different in a moment. */
  get temporary(): boolean {
    return temporaryCodes.has(this.code);
  }
}
