// The port of the blob store. Bytes live under keys that are used once: written once, deleted once, never overwritten.
// Every adapter passes the conformance suite beside this file.

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

/** A write in progress under one key. Not visible to `open` before `commit`. */
export interface BlobWriter {
  readonly key: string;
  /** Bytes taken so far. */
  readonly offset: number;
  /** Appends. Resolves when the bytes are handed to the store; the caller may reuse nothing of them before that. */
  write(chunks: readonly Uint8Array[]): Promise<void>;
  /** Makes the bytes durable without making them visible, so that the session can be continued after a crash. */
  flush(): Promise<void>;
  /** Durable and visible under `key` (folder: fsync, rename, fsync of the folder). After it resolves, `open(key)` works. */
  commit(): Promise<void>;
  /** Lets go of handles; the bytes stay for `resume`. */
  close(): Promise<void>;
}

export interface BlobStore {
  /** A fresh key. */
  newKey(): string;
  create(key: string): Promise<BlobWriter>;
  /** Continues an unfinished write at `offset` (bytes beyond it are cut off). Rejects with `BlobStoreError` NotFound when it is gone. */
  resume(key: string, offset: number): Promise<BlobWriter>;
  /** Reads unfinished bytes again, from 0 to `end`, for a hash that was lost with its process. */
  readUnfinished(key: string, end: number): AsyncIterable<Uint8Array>;
  /**
   * The bytes that a write in progress has taken so far, for readers of a fill: `read` resolves with 0 behind them, `size` says nothing.
   * Stays readable through commit and delete, until it is closed. Rejects with `BlobStoreError` NotFound when nobody writes under this key.
   */
  openUnfinished(key: string): Promise<BlobReader>;
  /** Rejects with `BlobStoreError` NotFound when there is no such object. */
  open(key: string): Promise<BlobReader>;
  /** Deletes finished and unfinished bytes of these keys. A key that is not there counts as deleted. Per-key result. */
  delete(keys: readonly string[]): Promise<ReadonlyMap<string, Error | undefined>>;
  /** Every object in the store, for the audit only. Finished and unfinished ones. */
  list(): AsyncIterable<{ readonly key: string; readonly size: number; readonly modified: Date; readonly finished: boolean }>;
  /** Bytes still free, undefined when the store has no such limit. */
  freeBytes(): Promise<number | undefined>;
  close(): Promise<void>;
}

export type BlobStoreErrorCode = "NotFound" | "NoSpace" | "Locked" | "Failed";

export class BlobStoreError extends Error {
  readonly code: BlobStoreErrorCode;
  constructor(code: BlobStoreErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "BlobStoreError";
    this.code = code;
  }
}
