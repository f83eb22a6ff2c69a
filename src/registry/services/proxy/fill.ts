// One fetch, many readers (design: upstream.md, "Blobs"). The file that grows is the object's own temporary file; nobody who reads it,
// slowly or not to the end, is noticed by the fetch. The last bytes go out only when the digest matches.

import type { BlobReader, BlobWriter } from "../../blobs/blob-store.ts";
import { giveBack } from "../../blobs/gather.ts";
import { watchPace, type Pace } from "./fill-pace.ts";
import { FillTransfer, type FillTransferOptions } from "./fill-transfer.ts";
import { heartbeat, type Heartbeat } from "../upkeep/heartbeat.ts";

/** What no reader gets before the whole is verified. */
const heldBack = 64 * 1024;
/** Bytes that may wait in memory while the disk is busy. */
const maxPending = 2 * 1024 * 1024;

export interface FillOptions extends FillTransferOptions {
  readonly writer: BlobWriter;
  /** The bytes of `writer` as they are written; usable until closed, also after the commit. */
  readonly written: BlobReader;
  /** Called by a clock until it is over, every `touchEvery` milliseconds. False: the bytes were given up, the commit will fail. */
  readonly touch: () => Promise<boolean>;
  readonly touchEvery?: number;
  /** While nobody reads it ends when it comes more slowly. */
  readonly slowest?: Pace;
  /** The writer has committed `size` bytes under `key`, which hash to the digest. */
  readonly keep: (key: string, size: number) => Promise<void>;
  /** What readers are told when it fails. */
  readonly toReaders: (error: unknown) => unknown;
  /** It failed; nothing may stay. */
  readonly abandon: (error: Error) => Promise<void>;
}

export class Fill {
  readonly #options: FillOptions;
  readonly #transfer: FillTransfer;
  #size: number | undefined;
  #written = 0;
  /** Readers may have what lies before this. */
  #released = 0;
  /** Set when it failed: what readers are told. */
  #error: { readonly told: unknown } | undefined;
  /** Who waits for the size. */
  #waiters = 0;
  #waiting: (() => void)[] = [];
  #readers = 0;
  #ended = false;
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  #writing: Promise<void> | undefined;
  readonly #signs: Heartbeat;
  /** Resolves with the size when the bytes are verified; rejects when they never will be. */
  readonly verified: Promise<number>;
  /** Resolves when the blob is stored and its rows are committed. */
  readonly kept: Promise<void>;

  constructor(options: FillOptions) {
    this.#options = options;
    this.#size = options.size;
    this.#transfer = new FillTransfer(options);
    this.#signs = heartbeat(options.touch, { every: options.touchEvery, onGivenUp: () => this.stop("its bytes were given up") });
    this.verified = this.#download();
    this.kept = this.#finish();
    // Whoever wants to know asks; a failure that nobody asks about is in the log of `abandon`.
    this.verified.catch(() => {});
    this.kept.catch(() => {});
  }

  get size(): number | undefined {
    return this.#size;
  }

  /** False once it is over and the last reader has gone: then the store has the bytes. Readers of one that failed are told so when they read. */
  get isReadable(): boolean {
    return this.#error !== undefined || !this.#ended || this.#readers > 0;
  }

  /** Reads as the bytes arrive. The size must be known. */
  reader(): BlobReader {
    this.#readers++;
    let open = true;
    return {
      size: this.#size ?? 0,
      read: (buffer, position) => this.#read(buffer, position, () => open),
      close: async () => {
        if (!open) return;
        open = false;
        this.#readers--;
        this.#wake();
        await this.#letGo();
      },
    };
  }

  /** The size, once the bytes are verified. When everybody who waits for it has gone, a fill of unknown size is ended: it may have no end. */
  async whole(gone?: AbortSignal): Promise<number> {
    this.#waiters++;
    let leave: () => void = () => undefined;
    const left = new Promise<never>((_, reject) => {
      leave = () => reject(new Error("nobody waits for the blob any more"));
      gone?.addEventListener("abort", leave);
    });
    if (gone?.aborted === true) leave();
    try {
      return await Promise.race([this.verified, left]);
    } finally {
      gone?.removeEventListener("abort", leave);
      this.#waiters--;
      if (this.#waiters === 0 && this.#size === undefined) this.stop("nobody waits for it any more");
    }
  }

  /** Ends the transfer; every reader fails. */
  stop(reason = "the registry is stopping"): void {
    this.#transfer.stop(reason);
  }

  async #read(buffer: Uint8Array, position: number, isOpen: () => boolean): Promise<number> {
    for (;;) {
      if (!isOpen()) throw new Error("the blob was closed while it was read");
      if (this.#error !== undefined) throw this.#error.told;
      if (position < this.#released) {
        const count = Math.min(buffer.byteLength, this.#released - position);
        return this.#options.written.read(buffer.subarray(0, count), position);
      }
      if (this.#size !== undefined && position >= this.#size) return 0;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  async #download(): Promise<number> {
    const { toReaders, slowest } = this.#options;
    const unwatch = watchPace(
      () => this.#transfer.received,
      (reason) => {
        if (this.#readers === 0) this.stop(reason);
      },
      slowest,
    );
    try {
      const size = await this.#transfer.run((piece) => this.#write(piece));
      await this.#writing;
      this.#size = size;
      this.#released = size;
      return size;
    } catch (error) {
      this.#error = { told: toReaders(error) };
      throw error;
    } finally {
      unwatch();
      this.#wake();
    }
  }

  /** Readers have everything by now; what follows keeps it for the next ones. */
  async #finish(): Promise<void> {
    const { writer, digest, keep, abandon } = this.#options;
    try {
      const size = await this.verified;
      await keep(await writer.commit(digest), size);
    } catch (error) {
      await this.#writing?.catch(() => {});
      await writer.close().catch(() => {});
      await abandon(error as Error);
      throw error;
    } finally {
      this.#signs.stop();
      this.#ended = true;
      await this.#letGo();
    }
  }

  /** Writes whatever has arrived as soon as the write before is done: small at first for speed, large under load for cost. */
  async #write(chunk: Uint8Array): Promise<void> {
    this.#pending.push(chunk);
    this.#pendingBytes += chunk.byteLength;
    if (this.#writing === undefined) {
      this.#writing = this.#flush();
      // It is awaited before the end, at the latest; until then a failure must not count as unhandled.
      this.#writing.catch(() => {});
    } else if (this.#pendingBytes >= maxPending) await this.#writing;
  }

  async #flush(): Promise<void> {
    while (this.#pending.length > 0) {
      const pieces = this.#pending;
      this.#pending = [];
      const bytes = this.#pendingBytes;
      this.#pendingBytes = 0;
      await this.#options.writer.write(pieces);
      giveBack(pieces);
      this.#written += bytes;
      if (this.#size !== undefined) this.#released = Math.max(this.#released, Math.min(this.#written, this.#size - heldBack));
      this.#wake();
    }
    this.#writing = undefined;
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resume of waiting) resume();
  }

  async #letGo(): Promise<void> {
    if (this.#ended && this.#readers === 0) await this.#options.written.close();
  }
}
