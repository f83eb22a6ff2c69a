// A blob that is not kept (cache.mode Never, or no space left): straight from upstream to one client, still verified when it is read whole.

import type { Hash } from "node:crypto";

import { algorithmOf, finishDigest, startDigest, type Digest } from "../../../domain/digest.ts";
import type { BlobReader } from "../../blobs/blob-store.ts";
import { UpstreamError } from "../../upstream/errors.ts";
import type { RemoteBody } from "../../upstream/upstream-client.ts";

const heldBack = 64 * 1024;

/** One transfer from upstream on its way to one client. */
interface Transfer {
  readonly body: RemoteBody;
  readonly chunks: AsyncIterator<Uint8Array>;
  /** Only a transfer that began at 0 can be verified. */
  readonly hash: Hash | undefined;
  /** Position of the first byte of `waiting`. */
  position: number;
  waiting: Uint8Array[];
  received: number;
}

export class PassThrough implements BlobReader {
  readonly size: number;
  readonly #digest: Digest;
  readonly #download: (from: number) => Promise<RemoteBody | undefined>;
  readonly #failure: (error: unknown) => unknown;
  #transfer: Transfer | undefined;

  /** `failure`: what the reader is told instead of an error. */
  constructor(options: {
    digest: Digest;
    size: number;
    download: (from: number) => Promise<RemoteBody | undefined>;
    failure: (error: unknown) => unknown;
  }) {
    this.size = options.size;
    this.#digest = options.digest;
    this.#download = options.download;
    this.#failure = options.failure;
  }

  async read(buffer: Uint8Array, position: number): Promise<number> {
    if (position >= this.size) return 0;
    try {
      return await this.#take(buffer, position);
    } catch (error) {
      throw this.#failure(error);
    }
  }

  close(): Promise<void> {
    this.#transfer?.body.discard();
    this.#transfer = undefined;
    return Promise.resolve();
  }

  async #take(buffer: Uint8Array, position: number): Promise<number> {
    const transfer = await this.#transferAt(position);
    await this.#fillUp(transfer);
    const [first] = transfer.waiting;
    if (first === undefined) throw this.#short(transfer);
    const limit = this.#isDone(transfer) ? first.byteLength : Math.min(first.byteLength, this.size - heldBack - transfer.position);
    const taken = first.subarray(0, Math.min(buffer.byteLength, limit));
    buffer.set(taken);
    transfer.position += taken.byteLength;
    if (taken.byteLength === first.byteLength) transfer.waiting.shift();
    else transfer.waiting[0] = first.subarray(taken.byteLength);
    return taken.byteLength;
  }

  async #transferAt(position: number): Promise<Transfer> {
    if (this.#transfer?.position === position) return this.#transfer;
    await this.close();
    const body = await this.#download(position);
    if (body === undefined) throw new UpstreamError("UnexpectedAnswer", `upstream has blob ${this.#digest} no longer`);
    if (body.start !== position) {
      body.discard();
      throw new UpstreamError("UnexpectedAnswer", `upstream does not honour ranges, and blob ${this.#digest} is not cached`);
    }
    const hash = position === 0 ? startDigest(algorithmOf(this.#digest)) : undefined;
    this.#transfer = { body, chunks: body.body[Symbol.asyncIterator](), hash, position, waiting: [], received: position };
    return this.#transfer;
  }

  /** Until something may be given out: the last bytes only once all are here and right. */
  async #fillUp(transfer: Transfer): Promise<void> {
    const mayGive = () => transfer.waiting.length > 0 && (this.#isDone(transfer) || transfer.position < this.size - heldBack);
    while (!mayGive()) {
      const next = await transfer.chunks.next();
      if (next.done === true) throw this.#short(transfer);
      if (next.value.byteLength === 0) continue;
      transfer.hash?.update(next.value);
      transfer.waiting.push(next.value);
      transfer.received += next.value.byteLength;
      if (transfer.received > this.size)
        throw new UpstreamError("DigestMismatch", `upstream sends more than the ${this.size} bytes of blob ${this.#digest}`);
      if (this.#isDone(transfer) && transfer.hash !== undefined) this.#verify(transfer.hash);
    }
  }

  #verify(hash: Hash): void {
    const found = finishDigest(hash, algorithmOf(this.#digest));
    if (found !== this.#digest)
      throw new UpstreamError("DigestMismatch", `upstream answers blob ${this.#digest} with bytes that hash to ${found}`);
  }

  #isDone(transfer: Transfer): boolean {
    return transfer.received === this.size;
  }

  #short(transfer: Transfer): UpstreamError {
    return new UpstreamError("Truncated", `upstream sent ${transfer.received} of ${this.size} bytes of blob ${this.#digest}`);
  }
}
