// The port of the blob store. Bytes live under keys that are used once: written once, deleted once, never overwritten.
// Every adapter passes the conformance suite beside this file.

import type { Digest } from "../../domain/digest.ts";
import type { NamedObjects } from "./named-objects.ts";

/** Random access to the bytes of one blob, also of one that is still growing (a fill): `read` waits until bytes are there. */
export interface BlobReader {
  /** Total size in bytes. */
  readonly size: number;
  /**
   * Fills `buffer` from `position` on; resolves with the number of bytes written, at least 1 unless `position` is at the end.
   * May return fewer than asked. Rejects when the bytes can no longer be had (then the caller destroys its socket).
   */
  read(buffer: Uint8Array, position: number): Promise<number>;
  close(): Promise<void>;
}

/** Bytes from `start` to `end`, which is not among them. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/**
 * Called before the first byte goes to `key`, so that the database knows every key that may have bytes (storage.md, U1). What it rejects with
 * ends the write.
 */
export type Announce = (key: string) => Promise<void>;

/** What a store needs to go on with a write, in any process. */
export interface Suspended {
  /** Bytes that are durable. */
  readonly offset: number;
  /** Understood by the store alone. */
  readonly state: string;
  /** Those of the announced keys whose bytes it needs; the others are given up. */
  readonly keys: readonly string[];
}

export type SuspendedAt = Pick<Suspended, "offset" | "state">;

/** A write in progress. Not visible to `open` before `commit`. */
export interface BlobWriter {
  /** Bytes taken so far. */
  readonly offset: number;
  /** Appends. Resolves when the bytes are handed to the store; the caller may reuse nothing of them before that. */
  write(chunks: readonly Uint8Array[]): Promise<void>;
  /** Makes the bytes durable without making them visible, and says how to go on. Announced keys that a later state no longer needs are given up. */
  suspend(): Promise<Suspended>;
  /**
   * Durable and visible under the key it resolves with; other keys that were announced for this write are given up. `digest` is what the bytes
   * hash to: a store that is in doubt about what it has reads them again. Rejects with `BlobStoreError` NotFound when they are gone.
   */
  commit(digest: Digest): Promise<string>;
  /** Lets go of handles and memory. What was suspended stays for `resume`. */
  close(): Promise<void>;
}

export interface BlobStore {
  /** Objects with names of their own, beside the blobs. */
  readonly named: NamedObjects;
  /** `bytes`: how many will come, when that is known. */
  create(announce: Announce, options?: { readonly bytes?: number }): Promise<BlobWriter>;
  /**
   * A write whose bytes can be read while it goes on (a fill): `read` of `written` resolves with 0 behind them, `size` says nothing. They stay
   * readable through commit and delete, until `written` is closed.
   */
  createReadable(
    announce: Announce,
    options?: { readonly bytes?: number },
  ): Promise<{ readonly writer: BlobWriter; readonly written: BlobReader }>;
  /** Goes on where a write was suspended; later bytes are cut off. Rejects with `BlobStoreError` NotFound when its bytes are gone. */
  resume(suspended: SuspendedAt, announce: Announce): Promise<BlobWriter>;
  /**
   * The bytes of a suspended write from its begin, for a hash that was lost with its process. A store that cannot read them as they are gives
   * them another shape first: `suspended` is how to go on then. Rejects with `BlobStoreError` NotFound when they are gone.
   */
  reread(
    suspended: SuspendedAt,
    announce: Announce,
  ): Promise<{ readonly suspended: SuspendedAt; readonly bytes: AsyncIterable<Uint8Array> }>;
  /**
   * Where a store can be read without us and is set up for it: an address that gives the bytes to whoever has it, for some minutes. Nothing is asked
   * of the store: the object may be gone.
   */
  link?(key: string): Promise<string | undefined>;
  /** `span`: what will be read, when it is not all; no other bytes are moved. Rejects with `BlobStoreError` NotFound when there is no such object. */
  open(key: string, span?: Span): Promise<BlobReader>;
  /**
   * Deletes finished and unfinished bytes of these keys. A key that is not there counts as deleted. Per-key result. `sizes`: bytes of those that
   * became whole, where known: a store that writes small ones at once looks for no unfinished write of them.
   */
  delete(keys: readonly string[], sizes?: ReadonlyMap<string, number>): Promise<ReadonlyMap<string, Error | undefined>>;
  /** Every object in the store, for the audit only. Finished and unfinished ones. */
  list(): AsyncIterable<{ readonly key: string; readonly size: number; readonly modified: Date; readonly finished: boolean }>;
  /** Bytes still free, undefined when the store has no such limit. */
  freeBytes(): Promise<number | undefined>;
  /** The same where `createReadable` keeps bytes for those who read them on their way, which may be elsewhere. */
  freeSpoolBytes(): Promise<number>;
  close(): Promise<void>;
}

/** Unavailable: it may work a moment later, nothing is known about what was asked. */
export type BlobStoreErrorCode = "NotFound" | "NoSpace" | "Locked" | "Unavailable" | "Failed";

export class BlobStoreError extends Error {
  readonly code: BlobStoreErrorCode;
  constructor(code: BlobStoreErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "BlobStoreError";
    this.code = code;
  }
}
