// Where a registry's files lie: folders and files by path, `/` between names, relative to a root. In a bucket a folder is what its keys say.

import type { SourceBlob } from "./import-source.ts";

/** Every call rejects with SourceError; an absent folder is an empty one, an absent file undefined. */
export interface LayoutTree {
  /** For messages. */
  readonly name: string;
  /** Names of the folders in `path` (`""`: the root), in no order. */
  folders(path: string): Promise<readonly string[]>;
  /** A small file whole; SourceError Unsupported beyond `maxBytes`. */
  read(path: string, maxBytes: number): Promise<Buffer | undefined>;
  has(path: string): Promise<boolean>;
  open(path: string, from: number): Promise<SourceBlob | undefined>;
  close(): Promise<void>;
}
