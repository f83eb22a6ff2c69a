// Blobs in a folder, for one process: `objects/<first two hex digits>/<key>` are whole, `uploading/<key>` are not.
// Commit is fsync, rename, fsync of the folders (storage.md, "Uploads"). A failed fsync fails the upload: the kernel may have dropped the pages.

import { randomUUID } from "node:crypto";
import { mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";

import { BlobStoreError, type Announce, type BlobReader, type BlobStore, type BlobWriter, type SuspendedAt } from "./blob-store.ts";
import { isUuid } from "../../domain/uuid.ts";
import { freeBytesOf } from "../../observability/free-bytes.ts";
import { closeFile, codeOfFile, openFile, readFile, sizeOfFile, syncFile, syncFolder, truncateFile } from "./file.ts";
import { claimFolder, type FolderClaim } from "./folder-claim.ts";
import { failing, folderFailure } from "./folder-errors.ts";
import { FolderNamedObjects } from "./folder-named.ts";
import { FolderReader } from "./folder-reader.ts";
import { FolderWriter } from "./folder-writer.ts";

const deletionsAtOnce = 16;
const readAgainBytes = 1024 * 1024;

export interface FolderBlobStoreOptions {
  readonly folder: string;
  /** Under this much free space writes are refused (NoSpace), snapshots under half of it, and reads go on. 0: never. */
  readonly lowWaterBytes?: number;
  /** fsync of a file, by descriptor. Only a test that wants it to fail gives another. */
  readonly sync?: (descriptor: number) => Promise<void>;
}

export class FolderBlobStore implements BlobStore {
  readonly named: FolderNamedObjects;
  readonly #folder: string;
  readonly #lowWaterBytes: number;
  readonly #sync: (descriptor: number) => Promise<void>;
  readonly #claim: FolderClaim;
  /** Who writes to a key now. The folder is one process's, so nobody else can. */
  readonly #writers = new Map<string, FolderWriter>();
  /** Fan-out folders that are known to be there, durably. */
  readonly #made = new Map<string, Promise<void>>();

  private constructor(options: FolderBlobStoreOptions, claim: FolderClaim) {
    this.#folder = options.folder;
    this.#lowWaterBytes = options.lowWaterBytes ?? 0;
    this.#sync = options.sync ?? syncFile;
    this.#claim = claim;
    const { folder } = options;
    this.named = new FolderNamedObjects({ folder, sync: this.#sync, refuseWhenLow: () => this.#refuseWhenLow(this.#lowWaterBytes / 2) });
  }

  /** Opens the folder, making it where needed. Rejects with BlobStoreError Locked while another process has it. Never scans. */
  static async open(options: FolderBlobStoreOptions): Promise<FolderBlobStore> {
    for (const part of ["objects", "uploading"]) await mkdir(join(options.folder, part), { recursive: true, mode: 0o700 });
    const claim = await claimFolder(options.folder);
    await FolderNamedObjects.prepare(options.folder);
    await syncFolder(options.folder);
    return new FolderBlobStore(options, claim);
  }

  async create(announce: Announce): Promise<FolderWriter> {
    await this.#refuseWhenLow();
    const key = randomUUID();
    await announce(key);
    try {
      return this.#writer(key, await openFile(this.#unfinished(key), "wx+"), 0);
    } catch (error) {
      // Not one upload is gone but the place for all of them.
      if (codeOfFile(error) === "ENOENT") throw new BlobStoreError("Failed", "The folder of the blob store is gone.", { cause: error });
      throw folderFailure(`create ${key}`, error);
    }
  }

  async createReadable(announce: Announce): Promise<{ writer: BlobWriter; written: BlobReader }> {
    const writer = await this.create(announce);
    try {
      const path = this.#unfinished(writer.key);
      return { writer, written: new FolderReader(await failing(`open upload ${writer.key}`, openFile(path, "r")), 0) };
    } catch (error) {
      await writer.close();
      throw error;
    }
  }

  async resume(suspended: SuspendedAt, announce: Announce): Promise<BlobWriter> {
    await this.#refuseWhenLow();
    const { offset, state: key } = suspended;
    await this.#writers.get(key)?.fence();
    const descriptor = await this.#openUnfinished(key, "r+");
    if (descriptor === undefined) return this.#copyOf(suspended, announce);
    try {
      const size = await sizeOfFile(descriptor);
      if (size < offset) throw new BlobStoreError("NotFound", `Only ${size} of ${offset} bytes of the upload ${key} are still there.`);
      if (size > offset) await truncateFile(descriptor, offset);
      return this.#writer(key, descriptor, offset);
    } catch (error) {
      await closeFile(descriptor);
      throw error;
    }
  }

  async reread(suspended: SuspendedAt): Promise<{ suspended: SuspendedAt; bytes: AsyncIterable<Uint8Array> }> {
    return { suspended, bytes: this.#bytesOf(suspended) };
  }

  async open(key: string): Promise<BlobReader> {
    const descriptor = await failing(`open ${key}`, openFile(this.#finished(key), "r"));
    try {
      return new FolderReader(descriptor, await sizeOfFile(descriptor));
    } catch (error) {
      await closeFile(descriptor);
      throw error;
    }
  }

  async delete(keys: readonly string[]): Promise<ReadonlyMap<string, Error | undefined>> {
    const results = new Map<string, Error | undefined>();
    const waiting = keys.values();
    const worker = async () => {
      for (const key of waiting) results.set(key, await this.#remove(key));
    };
    await Promise.all(Array.from({ length: deletionsAtOnce }, worker));
    // The caller forgets a key once it counts as deleted, so it must not come back after a crash of the machine.
    const removed = [...results].filter(([, error]) => error === undefined).map(([key]) => key);
    const folders = new Set(removed.map((key) => this.#fan(key)));
    for (const folder of [...folders, "uploading"]) {
      const failure = await syncFolder(join(this.#folder, folder)).then(
        () => undefined,
        (error: NodeJS.ErrnoException) => (error.code === "ENOENT" ? undefined : error),
      );
      if (failure === undefined) continue;
      for (const key of removed) if (folder === "uploading" || this.#fan(key) === folder) results.set(key, failure);
    }
    return results;
  }

  async *list(): AsyncGenerator<{ key: string; size: number; modified: Date; finished: boolean }> {
    for (const fan of await readdir(join(this.#folder, "objects"))) yield* this.#listFolder(join("objects", fan), true);
    yield* this.#listFolder("uploading", false);
  }

  freeBytes(): Promise<number> {
    return freeBytesOf(this.#folder);
  }

  freeSpoolBytes(): Promise<number> {
    return this.freeBytes();
  }

  async close(): Promise<void> {
    await this.#claim.release();
  }

  async *#listFolder(folder: string, finished: boolean): AsyncGenerator<{ key: string; size: number; modified: Date; finished: boolean }> {
    for (const key of await readdir(join(this.#folder, folder))) {
      if (!isUuid(key)) continue;
      const found = await stat(join(this.#folder, folder, key)).catch(() => undefined);
      if (found !== undefined) yield { key, size: found.size, modified: found.mtime, finished };
    }
  }

  async *#bytesOf({ offset: end, state: key }: SuspendedAt): AsyncGenerator<Uint8Array> {
    const descriptor = (await this.#openUnfinished(key, "r")) ?? (await failing(`read ${key}`, openFile(this.#finished(key), "r")));
    try {
      for (let position = 0; position < end;) {
        const buffer = Buffer.allocUnsafe(Math.min(readAgainBytes, end - position));
        const count = await readFile(descriptor, buffer, position);
        if (count === 0) throw new BlobStoreError("NotFound", `Only ${position} of ${end} bytes of the upload ${key} are still there.`);
        yield buffer.subarray(0, count);
        position += count;
      }
    } finally {
      await closeFile(descriptor);
    }
  }

  #writer(key: string, descriptor: number, offset: number): FolderWriter {
    const writer = new FolderWriter({
      key,
      descriptor,
      offset,
      sync: this.#sync,
      refuseWhenLow: () => this.#refuseWhenLow(),
      finish: () => this.#finish(key),
      onClose: () => {
        if (this.#writers.get(key) === writer) this.#writers.delete(key);
      },
    });
    this.#writers.set(key, writer);
    return writer;
  }

  async #finish(key: string): Promise<void> {
    await this.#ensureFan(this.#fan(key));
    await rename(this.#unfinished(key), this.#finished(key));
    await syncFolder(join(this.#folder, this.#fan(key)));
    await syncFolder(join(this.#folder, "uploading"));
  }

  #ensureFan(fan: string): Promise<void> {
    const known = this.#made.get(fan);
    if (known !== undefined) return known;
    const making = (async () => {
      await mkdir(join(this.#folder, fan), { recursive: true, mode: 0o700 });
      await syncFolder(join(this.#folder, "objects"));
    })();
    this.#made.set(fan, making);
    making.catch(() => this.#made.delete(fan));
    return making;
  }

  /** Undefined: it is finished, or gone. */
  async #openUnfinished(key: string, flags: "r" | "r+"): Promise<number | undefined> {
    try {
      return await openFile(this.#unfinished(key), flags);
    } catch (error) {
      if (codeOfFile(error) === "ENOENT") return undefined;
      throw folderFailure(`open upload ${key}`, error);
    }
  }

  /**
   * A commit whose transaction failed left its bytes under the final name; the session goes on with a copy under another key. What has its final
   * name is never touched: it may be acknowledged, and who resumes be a request that lost the session long ago, which cannot announce a key.
   */
  async #copyOf(suspended: SuspendedAt, announce: Announce): Promise<BlobWriter> {
    const { state: key } = suspended;
    await failing(`resume ${key}`, stat(this.#finished(key)));
    const writer = await this.create(announce);
    try {
      for await (const bytes of this.#bytesOf(suspended)) await writer.write([bytes]);
      return writer;
    } catch (error) {
      await writer.close();
      throw error;
    }
  }

  async #remove(key: string): Promise<Error | undefined> {
    try {
      await rm(this.#finished(key), { force: true });
      await rm(this.#unfinished(key), { force: true });
      return undefined;
    } catch (error) {
      return folderFailure(`delete ${key}`, error);
    }
  }

  async #refuseWhenLow(below = this.#lowWaterBytes): Promise<void> {
    if (below === 0) return;
    const free = await this.freeBytes();
    if (free >= below) return;
    throw new BlobStoreError(
      "NoSpace",
      `Only ${free} bytes are free where blobs are stored; writes are refused below ${below}. Free some space or lower storage.lowWaterBytes.`,
    );
  }

  #fan(key: string): string {
    return join("objects", checked(key).slice(0, 2));
  }

  #finished(key: string): string {
    return join(this.#folder, this.#fan(key), key);
  }

  #unfinished(key: string): string {
    return join(this.#folder, "uploading", checked(key));
  }
}

function checked(key: string): string {
  if (!isUuid(key)) throw new BlobStoreError("Failed", "A key of the folder store is a uuid.");
  return key;
}
