// The second, small port of the blob store: objects that have a name, beside the blobs. Snapshots of the metadata and the marker of the
// installation (storage.md, "Backup"). Both adapters pass the conformance suite beside this file.

export interface NamedObject {
  readonly name: string;
  /** Bytes; 0 of one that is not finished. */
  readonly size: number;
  readonly modified: Date;
  /** False: begun and never ended, by a process that died. It cannot be read; `delete` takes it away. */
  readonly finished: boolean;
}

export interface NamedObjects {
  /**
   * Durable and visible whole, or not at all; takes the place of what had the name. Holds some 16 MiB at most, however much comes. Resolves with
   * the number of bytes. What `pieces` rejects with comes through, other failures as `BlobStoreError`.
   */
  put(name: string, pieces: AsyncIterable<Uint8Array>): Promise<number>;
  /** Rejects with `BlobStoreError` NotFound at the first piece when there is no such object. */
  get(name: string): AsyncIterable<Uint8Array>;
  /** Objects whose name begins with `prefix` (`backup/`, `marker/` or more), in no order. */
  list(prefix: string): AsyncIterable<NamedObject>;
  /** Finished or not. A name that is not there counts as deleted. Rejects at the first that cannot be deleted. */
  delete(names: readonly string[]): Promise<void>;
}
