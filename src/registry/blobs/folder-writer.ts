import { BlobStoreError, type BlobWriter, type Suspended } from "./blob-store.ts";
import { closeFile, codeOfFile, isFull, writeFilePieces } from "./file.ts";
import { behind, gatherPieces } from "./gather.ts";

/** Free space is asked again after this many bytes. */
const askAgainBytes = 64 * 1024 * 1024;

export interface FolderWriterOptions {
  readonly key: string;
  readonly descriptor: number;
  readonly offset: number;
  sync(descriptor: number): Promise<void>;
  refuseWhenLow(): Promise<void>;
  /** Gives the durable file its final name, durably. */
  finish(): Promise<void>;
  onClose(): void;
}

export class FolderWriter implements BlobWriter {
  readonly key: string;
  readonly #options: FolderWriterOptions;
  #offset: number;
  #askAt: number;
  #open = true;
  /** After a failed write or fsync nothing is known about the file: every later call fails with the same error. */
  #failure: BlobStoreError | undefined;
  #working: Promise<unknown> = Promise.resolve();

  constructor(options: FolderWriterOptions) {
    this.key = options.key;
    this.#options = options;
    this.#offset = options.offset;
    this.#askAt = options.offset + askAgainBytes;
  }

  get offset(): number {
    return this.#offset;
  }

  async write(chunks: readonly Uint8Array[]): Promise<void> {
    this.#check();
    if (this.#offset >= this.#askAt) {
      await this.#options.refuseWhenLow();
      this.#askAt = this.#offset + askAgainBytes;
    }
    for (let from = 0; from < chunks.length; from += gatherPieces) await this.#writeAll(chunks.slice(from, from + gatherPieces));
  }

  async suspend(): Promise<Suspended> {
    await this.#flush();
    return { offset: this.#offset, state: this.key, keys: [this.key] };
  }

  async commit(): Promise<string> {
    await this.#flush();
    await this.#attempt(() => this.#options.finish());
    await this.close();
    return this.key;
  }

  /** Somebody else goes on with the file: nothing is written any more once this resolves, however late the owner of this writer wakes up. */
  async fence(): Promise<void> {
    this.#failure ??= new BlobStoreError("NotFound", `Another writer goes on with the upload ${this.key}.`);
    await this.#working;
  }

  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    this.#options.onClose();
    await closeFile(this.#options.descriptor);
  }

  async #writeAll(pieces: readonly Uint8Array[]): Promise<void> {
    let rest = pieces;
    while (rest.length > 0) {
      const count = await this.#attempt(() => writeFilePieces(this.#options.descriptor, rest, this.#offset));
      this.#offset += count;
      rest = behind(rest, count);
    }
  }

  async #flush(): Promise<void> {
    this.#check();
    await this.#attempt(() => this.#options.sync(this.#options.descriptor));
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (!this.#open) throw new BlobStoreError("Failed", `The upload ${this.key} is closed.`);
  }

  async #attempt<T>(work: () => Promise<T>): Promise<T> {
    if (this.#failure !== undefined) throw this.#failure;
    const working = work();
    this.#working = working.catch(() => undefined);
    try {
      return await working;
    } catch (error) {
      this.#failure = isFull(codeOfFile(error))
        ? new BlobStoreError("NoSpace", "No space is left where blobs are stored.", { cause: error })
        : new BlobStoreError("Failed", `The upload ${this.key} could not be written.`, { cause: error });
      throw this.#failure;
    }
  }
}
