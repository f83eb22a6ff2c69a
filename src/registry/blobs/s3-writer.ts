// One write to a bucket: what fits into less than a part is one PutObject; more is a multipart upload (storage.md, "Uploads").
// A part is whole in memory before it is sent, so that it can be sent again. The next one fills while one or two are on their way; where it fills
// is ./filling-part.ts.

import type { Digest } from "../../domain/digest.ts";
import { BlobStoreError, type Announce, type BlobWriter, type Suspended } from "./blob-store.ts";
import { FillingPart } from "./filling-part.ts";
import type { PartBuffer, PartMemory } from "./part-memory.ts";
import { copyRanges, partSize, smallestPart } from "./part-size.ts";
import type { S3Objects } from "./s3-objects.ts";
import { formatState, type S3Part, type S3State } from "./s3-state.ts";

/** Parts on their way at once, besides the one that fills. */
const sendingAtOnce = 3;
/** A writer that lost the session, and does not know, may disturb each with a part that was on its way. */
const completeAttempts = 1 + sendingAtOnce;

export interface S3WriterOptions {
  readonly objects: S3Objects;
  readonly memory: PartMemory;
  /** For parts that fill while there is no memory. */
  readonly spoolFolder: string;
  readonly announce: Announce;
  readonly newKey: () => string;
  /** Where a suspended write goes on. */
  readonly from?: S3State;
  /** Bytes that will come in this write, when known. */
  readonly bytes?: number;
  /** The bytes of an object. */
  readonly read: (key: string) => AsyncIterable<Uint8Array>;
  /** They are in memory. */
  readonly isKnown: (key: string) => boolean;
  /** Reads an object to see whether it is there and hashes to `digest`. */
  readonly holds: (key: string, digest: Digest) => Promise<boolean>;
  /** A tail was made durable; whoever resumes here soon need not read it. */
  readonly keepTail: (key: string, bytes: Uint8Array) => void;
}

export class S3Writer implements BlobWriter {
  readonly #options: S3WriterOptions;
  #offset: number;
  #upload: { readonly key: string; readonly id: string } | undefined;
  readonly #parts: (S3Part | undefined)[];
  #inParts: number;
  /** Durable bytes behind the parts, in an object of their own. */
  #tail: { readonly key: string; readonly size: number } | undefined;
  /** Bytes behind the parts, not sent yet; with `#tail` undefined or taken over. */
  #filling: FillingPart | undefined;
  readonly #sending = new Set<Promise<void>>();
  #failure: unknown;
  #open = true;

  constructor(options: S3WriterOptions) {
    this.#options = options;
    this.#upload = options.from?.upload;
    this.#parts = [...(options.from?.parts ?? [])];
    this.#inParts = this.#wholeParts().reduce((sum, { size }) => sum + size, 0);
    this.#tail = options.from?.tail;
    this.#offset = options.from?.offset ?? 0;
  }

  get offset(): number {
    return this.#offset;
  }

  async write(chunks: readonly Uint8Array[]): Promise<void> {
    this.#check();
    for (const chunk of chunks) await this.#take(chunk);
  }

  async suspend(): Promise<Suspended> {
    this.#check();
    const filled = this.#filling?.filled ?? 0;
    if (filled >= smallestPart) await this.#send();
    else if (filled > 0) await this.#putTail();
    await this.#settle();
    const state = this.#state();
    const keys = [state.upload?.key, state.tail?.key].filter((key) => key !== undefined);
    return { offset: this.#offset, state: formatState(state), keys };
  }

  async commit(digest: Digest): Promise<string> {
    this.#check();
    const upload = this.#upload;
    const key = await (upload === undefined ? this.#putWhole() : this.#complete(upload, digest));
    await this.close();
    return key;
  }

  /**
   * Everything so far in one object that can be read, from which a new upload can go on. Also where an earlier request did that and nobody heard
   * of it. Whoever reads the object sees whether its bytes are those of the session.
   */
  async gather(): Promise<S3State> {
    const { offset } = this;
    if (this.#upload === undefined) return this.#state();
    const { key } = this.#upload;
    try {
      await this.#completeAll(this.#upload);
    } catch (error) {
      if (!mayBeComplete(error) || (await this.#options.objects.sizeOf(key)) !== offset) throw error;
    } finally {
      await this.close();
    }
    return { offset, parts: [], tail: { key, size: offset } };
  }

  async close(): Promise<void> {
    this.#open = false;
    await Promise.allSettled(this.#sending);
    const filling = this.#filling;
    this.#filling = undefined;
    await filling?.close();
  }

  async #take(chunk: Uint8Array): Promise<void> {
    for (let rest = chunk; rest.byteLength > 0;) {
      const filling = await this.#room();
      const size = partSize(this.#parts.length + 1);
      const count = Math.min(rest.byteLength, size - filling.filled);
      await filling.add(rest.subarray(0, count)).catch((error: unknown) => {
        throw this.#fail(error);
      });
      this.#offset += count;
      rest = rest.subarray(count);
      if (filling.filled === size) await this.#send();
    }
  }

  /** A part with at least one free byte, behind the tail that was suspended. */
  async #room(): Promise<FillingPart> {
    if (this.#tail !== undefined) await this.#goOnFromTail({ more: true });
    if (this.#filling !== undefined) return this.#filling;
    const { memory, spoolFolder } = this.#options;
    const expected = Math.max(1, this.#expected());
    // The memory of parts that are on their way comes back by itself.
    if (!memory.hasToSpare(expected)) await this.#settle();
    return (this.#filling = new FillingPart({ memory, spoolFolder, expected }));
  }

  /** `more`: bytes follow, so that what is too small to be a part must be in memory with them. */
  async #goOnFromTail({ more }: { readonly more: boolean }): Promise<void> {
    const tail = this.#tail;
    this.#tail = undefined;
    if (tail === undefined) return;
    const isPart = tail.size >= smallestPart || !more;
    if (!isPart || this.#options.isKnown(tail.key) || !(await this.#copy(tail))) await this.#takeAgain(tail);
  }

  /** False where the service copies no parts (some do not). */
  async #copy({ key, size }: { readonly key: string; readonly size: number }): Promise<boolean> {
    try {
      this.#upload ??= await this.#begin();
      for (const { start, end } of copyRanges(size)) {
        const number = this.#parts.length + 1;
        const etag = await this.#options.objects.copyPart(this.#upload, number, { key, size, start, end });
        this.#parts.push({ etag, size: end - start });
        this.#inParts += end - start;
      }
      return true;
    } catch (error) {
      const isRefused = error instanceof BlobStoreError && error.code === "Failed";
      if (isRefused && this.#parts.length === (this.#options.from?.parts.length ?? 0)) return false;
      throw this.#fail(error);
    }
  }

  async #takeAgain({ key, size }: { readonly key: string; readonly size: number }): Promise<void> {
    this.#offset -= size;
    try {
      for await (const piece of this.#options.read(key)) await this.#take(piece);
    } catch (error) {
      throw this.#fail(error);
    }
  }

  /** Bytes of the next part as far as one knows. */
  #expected(): number {
    const part = partSize(this.#parts.length + 1);
    const { bytes, from } = this.#options;
    if (bytes === undefined) return part;
    return Math.min(part, (from?.offset ?? 0) + bytes - this.#inParts);
  }

  /** Sends what has come as the next part. Resolves when the next may be filled. */
  async #send(): Promise<void> {
    const { bytes, release } = await this.#whole();
    this.#inParts += bytes.byteLength;
    const index = this.#parts.push(undefined) - 1;
    const { objects } = this.#options;
    try {
      this.#upload ??= await this.#begin();
    } catch (error) {
      release();
      throw this.#fail(error);
    }
    const sending = objects
      .putPart(this.#upload, index + 1, bytes)
      .then(
        (etag) => void (this.#parts[index] = { etag, size: bytes.byteLength }),
        (error: unknown) => void this.#fail(error),
      )
      .finally(() => {
        release();
        this.#sending.delete(sending);
      });
    this.#sending.add(sending);
    if (this.#sending.size >= sendingAtOnce) await Promise.race(this.#sending);
    this.#check();
  }

  async #begin(): Promise<{ key: string; id: string }> {
    const key = this.#options.newKey();
    await this.#options.announce(key);
    return { key, id: await this.#options.objects.beginUpload(key) };
  }

  /** What has come behind the parts, to be sent at once. */
  async #whole(): Promise<PartBuffer> {
    const filling = this.#filling;
    try {
      return (await filling?.whole()) ?? { bytes: Buffer.alloc(0), release: () => undefined };
    } catch (error) {
      throw this.#fail(error);
    } finally {
      this.#filling = undefined;
      await filling?.close();
    }
  }

  async #putTail(): Promise<void> {
    const { bytes, release } = await this.#whole();
    try {
      const key = await this.#putObject(bytes);
      this.#options.keepTail(key, bytes);
      this.#tail = { key, size: bytes.byteLength };
    } finally {
      release();
    }
  }

  async #putObject(bytes: Uint8Array): Promise<string> {
    const key = this.#options.newKey();
    try {
      await this.#options.announce(key);
      await this.#options.objects.put(key, bytes);
    } catch (error) {
      throw this.#fail(error);
    }
    return key;
  }

  /** Less than a part in all: a tail that nothing followed is the blob already. */
  async #putWhole(): Promise<string> {
    if (this.#tail !== undefined) return this.#tail.key;
    const { bytes, release } = await this.#whole();
    try {
      return await this.#putObject(bytes);
    } finally {
      release();
    }
  }

  /**
   * Also where the upload has been completed before: by this request, whose answer got lost, or by an earlier one, whose transaction failed. Not
   * every completed upload will do: a writer that lost the session may have completed it with its own bytes. Or it has put a part of its own over
   * what was the tail: that is made a part again.
   */
  async #complete(upload: { readonly key: string; readonly id: string }, digest: Digest): Promise<string> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#completeAll(upload);
        return upload.key;
      } catch (error) {
        if (mayBeComplete(error) && (await this.#options.holds(upload.key, digest))) return upload.key;
        if (attempt === completeAttempts || !isGone(error) || !this.#goBack()) throw this.#fail(error);
      }
    }
  }

  /** To where this write began; false when it has added bytes, which are no longer here. */
  #goBack(): boolean {
    const { from } = this.#options;
    if (from?.tail === undefined || this.#failure !== undefined || this.#offset !== from.offset) return false;
    this.#parts.splice(0, this.#parts.length, ...from.parts);
    this.#inParts = from.offset - from.tail.size;
    this.#tail = from.tail;
    return true;
  }

  async #completeAll(upload: { readonly key: string; readonly id: string }): Promise<void> {
    await this.#goOnFromTail({ more: false });
    if ((this.#filling?.filled ?? 0) > 0) await this.#send();
    await this.#settle();
    await this.#options.objects.completeUpload(upload, this.#wholeParts());
  }

  #state(): S3State {
    const { offset } = this;
    return { offset, parts: this.#wholeParts(), ...(this.#upload && { upload: this.#upload }), ...(this.#tail && { tail: this.#tail }) };
  }

  #wholeParts(): S3Part[] {
    return this.#parts.filter((part) => part !== undefined);
  }

  async #settle(): Promise<void> {
    await Promise.allSettled(this.#sending);
    this.#check();
  }

  /** After a failure nothing is known about what the bucket has: every later call fails with the first error. */
  #fail(error: unknown): unknown {
    return (this.#failure ??= error);
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (!this.#open) throw new BlobStoreError("Failed", "This upload is closed.");
  }
}

/** The service does not know the upload, or not with these parts (any more). */
function isGone(error: unknown): boolean {
  return error instanceof BlobStoreError && error.code === "NotFound";
}

/** The same, or nobody knows what it did. */
function mayBeComplete(error: unknown): boolean {
  return isGone(error) || (error instanceof BlobStoreError && error.code === "Unavailable");
}
