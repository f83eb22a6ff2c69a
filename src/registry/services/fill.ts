// One fetch, many readers (design: upstream.md, "Blobs"). The file that grows is the object's own temporary file; nobody who reads it,
// slowly or not to the end, is noticed by the fetch. The last bytes go out only when the digest matches.

import { algorithmOf, finishDigest, startDigest, type Digest } from "../../domain/digest.ts";
import type { BlobReader, BlobWriter } from "../blobs/blob-store.ts";
import { giveBack } from "../blobs/gather.ts";
import { UpstreamError } from "../upstream/errors.ts";
import type { RemoteBody } from "../upstream/upstream-client.ts";
import { heartbeat, type Heartbeat } from "./heartbeat.ts";

/** What no reader gets before the whole is verified. */
const heldBack = 64 * 1024;
/** Bytes that may wait in memory while the disk is busy. */
const maxPending = 2 * 1024 * 1024;
const maxResumes = 3;

export interface FillOptions {
  readonly digest: Digest;
  /** Bytes; undefined: upstream does not say, known at the end. */
  readonly size: number | undefined;
  /** Where a fill of unknown size ends. */
  readonly maxBytes: number;
  readonly first: RemoteBody;
  /** Asks upstream again for the bytes from `from` on. */
  readonly again: (from: number) => Promise<RemoteBody | undefined>;
  readonly writer: BlobWriter;
  /** The bytes of `writer` as they are written; usable until closed, also after the commit. */
  readonly written: BlobReader;
  /** Called by a clock until it is over, every `touchEvery` milliseconds. False: the bytes were given up, the commit will fail. */
  readonly touch: () => Promise<boolean>;
  readonly touchEvery?: number;
  /** The writer has committed `size` bytes that hash to the digest. */
  readonly keep: (size: number) => Promise<void>;
  /** What readers are told when it fails. */
  readonly toReaders: (error: unknown) => unknown;
  /** It failed; nothing may stay. */
  readonly abandon: (error: Error) => Promise<void>;
  /** Milliseconds before the first resumption, doubled for each. */
  readonly resumePause?: number;
}

export class Fill {
  readonly #options: FillOptions;
  #size: number | undefined;
  #received = 0;
  #written = 0;
  /** Readers may have what lies before this. */
  #released = 0;
  /** Set when it failed: what readers are told. */
  #error: { readonly told: unknown } | undefined;
  #body: RemoteBody;
  /** Set when it was ended from here: why. */
  #stopped: string | undefined;
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
    this.#body = options.first;
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
    this.#stopped ??= reason;
    this.#body.discard();
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
    const { digest } = this.#options;
    const hash = startDigest(algorithmOf(digest));
    try {
      for (let resumes = 0; ; resumes++) {
        try {
          await this.#drain((chunk) => hash.update(chunk));
          break;
        } catch (error) {
          this.#body.discard();
          if (this.#stopped !== undefined) throw new UpstreamError("Unreachable", this.#stopped);
          if (resumes === maxResumes || !isResumable(error)) throw error;
          await this.#resume(resumes, error);
        }
      }
      await this.#writing;
      const found = finishDigest(hash, algorithmOf(digest));
      if (found !== digest) throw new UpstreamError("DigestMismatch", `upstream answers blob ${digest} with bytes that hash to ${found}`);
    } catch (error) {
      this.#body.discard();
      this.#error = { told: this.#options.toReaders(error) };
      this.#wake();
      throw error;
    }
    this.#size = this.#received;
    this.#released = this.#received;
    this.#wake();
    return this.#received;
  }

  /** Readers have everything by now; what follows keeps it for the next ones. */
  async #finish(): Promise<void> {
    const { writer, keep, abandon } = this.#options;
    try {
      const size = await this.verified;
      await writer.commit();
      await keep(size);
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

  async #resume(resumes: number, reason: unknown): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, (this.#options.resumePause ?? 100) * 2 ** resumes));
    let body: RemoteBody | undefined;
    try {
      body = await this.#options.again(this.#received);
    } catch (error) {
      if (!isResumable(error)) throw error;
      this.#body = broken(error as Error, this.#received);
      return;
    }
    if (body === undefined) throw reason;
    this.#body = body;
    if (body.size === undefined || this.#size === undefined || body.size === this.#size) return;
    throw new UpstreamError("UnexpectedAnswer", `upstream says that the blob has ${body.size} bytes, and said ${this.#size} before`);
  }

  async #drain(hash: (chunk: Uint8Array) => void): Promise<void> {
    // An upstream that ignores Range starts again; what is here already is passed over.
    let skip = this.#received - this.#body.start;
    for await (const piece of this.#body.body) {
      if (this.#stopped !== undefined) throw new UpstreamError("Unreachable", this.#stopped);
      const chunk = skip === 0 ? piece : piece.subarray(Math.min(skip, piece.byteLength));
      skip -= piece.byteLength - chunk.byteLength;
      if (chunk.byteLength === 0) continue;
      if (this.#size !== undefined && this.#received + chunk.byteLength > this.#size) {
        throw new UpstreamError("DigestMismatch", `upstream sends more than the ${this.#size} bytes of blob ${this.#options.digest}`);
      }
      if (this.#size === undefined && this.#received + chunk.byteLength > this.#options.maxBytes) {
        throw new UpstreamError(
          "TooLarge",
          `upstream does not say how large blob ${this.#options.digest} is and sends more than ${this.#options.maxBytes} bytes`,
        );
      }
      hash(chunk);
      this.#received += chunk.byteLength;
      await this.#write(chunk);
    }
    if (this.#size !== undefined && this.#received < this.#size) {
      throw new UpstreamError("Truncated", `upstream sent ${this.#received} of ${this.#size} bytes of blob ${this.#options.digest}`);
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

/** The connection broke; the content itself was not refused. */
function isResumable(error: unknown): boolean {
  return error instanceof UpstreamError && ["Truncated", "Timeout", "Unreachable", "ServerError"].includes(error.code);
}

/** Stands for a body that could not be had, so that the next attempt counts like any other. */
function broken(error: Error, start: number): RemoteBody {
  return {
    start,
    size: undefined,
    // eslint-disable-next-line require-yield
    body: (async function* () {
      throw error;
    })(),
    discard: () => {},
  };
}
