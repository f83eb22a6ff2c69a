// Where a registry's files lie: folders and files by path, `/` between names, relative to a root. In a bucket a folder is what its keys say.

import { SourceError, type SourceBlob } from "./import-source.ts";

/** Every call rejects with SourceError; an absent folder is an empty one, an absent file undefined. */
export interface LayoutTree {
  /** For messages. */
  readonly name: string;
  /** Names of the folders in `path` (`""`: the root), in no order. */
  folders(path: string): Promise<readonly string[]>;
  /** Paths of one place are one folder: where links lead. */
  place(path: string): Promise<string>;
  /** A small file whole; SourceError Unsupported beyond `maxBytes`. */
  read(path: string, maxBytes: number): Promise<Buffer | undefined>;
  has(path: string): Promise<boolean>;
  open(path: string, from: number): Promise<SourceBlob | undefined>;
  close(): Promise<void>;
}

/** Ends reading, and the body with it, as soon as there is more than `maxBytes`: SourceError Unsupported. */
export async function wholeWithin(path: string, body: AsyncIterable<Uint8Array>, maxBytes: number): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of body) {
    length += piece.byteLength;
    if (length > maxBytes)
      throw new SourceError("Unsupported", `${path} has more than ${maxBytes} bytes, which is all that is read of such a file`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}
