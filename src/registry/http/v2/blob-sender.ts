// Bytes of a blob to a client: two buffers used in turn and the write callback as the only back-pressure. Measured at half the processor
// time of createReadStream with pipeline (design: performance.md).

import type { ServerResponse } from "node:http";

import type { BlobReader } from "../../blobs/blob-store.ts";
import type { BlobBuffers, BufferPair } from "./blob-buffers.ts";
import { deliver, type DeliveryOptions } from "./delivery.ts";

export interface BlobPart {
  readonly reader: BlobReader;
  readonly start: number;
  /** Bytes, at least 1. */
  readonly length: number;
}

export interface SendOptions extends DeliveryOptions {
  readonly buffers: BlobBuffers;
}

/** Up to this size a blob is read whole and sent with its headers in one write. */
const smallBlob = 64 * 1024;

/**
 * Sends `part` and closes its reader, whatever happens. `writeHead` is called once the first bytes are there: an error before that rejects
 * and can still be answered; later the socket is destroyed, so that no client takes a part for the whole.
 */
export async function sendBlob(response: ServerResponse, writeHead: () => void, part: BlobPart, options: SendOptions): Promise<void> {
  try {
    await (part.length <= smallBlob
      ? sendAtOnce(response, writeHead, part, options)
      : new Stream(response, writeHead, part, options).send());
  } finally {
    await part.reader.close();
  }
}

async function sendAtOnce(response: ServerResponse, writeHead: () => void, part: BlobPart, options: DeliveryOptions): Promise<void> {
  const { reader, start, length } = part;
  const bytes = Buffer.allocUnsafe(length);
  for (let taken = 0; taken < length;) taken += some(await reader.read(bytes.subarray(taken), start + taken));
  if (response.destroyed) return;
  writeHead();
  await deliver(response, (taken) => response.end(bytes, taken), options);
}

class Stream {
  readonly #response: ServerResponse;
  readonly #writeHead: () => void;
  readonly #part: BlobPart;
  readonly #options: SendOptions;
  #gone = false;
  #reading = false;
  #onGone: () => void = () => {};

  constructor(response: ServerResponse, writeHead: () => void, part: BlobPart, options: SendOptions) {
    this.#response = response;
    this.#writeHead = writeHead;
    this.#part = part;
    this.#options = options;
  }

  async send(): Promise<void> {
    const pair = this.#options.buffers.take();
    const leave = () => {
      this.#gone = true;
      this.#onGone();
    };
    this.#response.once("close", leave);
    this.#gone = this.#response.destroyed;
    try {
      await this.#copy(pair);
      if (!this.#gone) this.#response.end();
    } catch (error) {
      if (!this.#response.headersSent) throw error;
      this.#response.destroy();
    } finally {
      this.#response.off("close", leave);
      // A read or write that was left behind may still touch the memory.
      this.#options.buffers.give(pair, { reusable: !this.#gone && !this.#reading && !this.#response.destroyed });
    }
  }

  async #copy(pair: BufferPair): Promise<void> {
    const { start, length } = this.#part;
    const end = start + length;
    let written: Promise<void> = Promise.resolve();
    for (let position = start, turn = 0; position < end; turn ^= 1) {
      const buffer = pair[turn as 0 | 1];
      const count = await this.#read(buffer.subarray(0, Math.min(buffer.length, end - position)), position);
      await written;
      if (this.#gone || this.#response.destroyed) return;
      if (position === start) this.#writeHead();
      written = deliver(this.#response, (taken) => this.#response.write(buffer.subarray(0, count), taken), this.#options);
      position += count;
    }
    await written;
  }

  /** Returns early when the client goes: a reader may wait long for bytes of a fill. */
  #read(buffer: Uint8Array, position: number): Promise<number> {
    this.#reading = true;
    return new Promise((resolve, reject) => {
      this.#onGone = () => resolve(0);
      if (this.#gone) return resolve(0);
      this.#part.reader
        .read(buffer, position)
        .finally(() => (this.#reading = false))
        .then((count) => resolve(some(count)))
        .catch(reject);
    });
  }
}

function some(count: number): number {
  if (count > 0) return count;
  throw new Error("The blob ended before its size");
}
