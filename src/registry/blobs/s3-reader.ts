// Reads of one object. Who reads on where the last read ended gets the bytes of one request; a break in the middle is asked for again from there.

import type { Readable } from "node:stream";

import { BlobStoreError, type BlobReader } from "./blob-store.ts";
import type { ReadPlace } from "./read-places.ts";

/** A request for the bytes from `position` on; `etag`: of the object as it was opened. */
export type Get = (position: number, etag?: string) => Promise<ObjectBody>;

export interface ObjectBody {
  readonly body: Readable;
  /** Of the whole object, bytes. */
  readonly size: number;
  readonly etag: string | undefined;
}

const attempts = 3;

export class S3Reader implements BlobReader {
  readonly size: number;
  readonly #get: Get;
  readonly #etag: string | undefined;
  readonly #place: ReadPlace | undefined;
  #body: Readable | undefined;
  #pieces: AsyncIterator<Buffer>;
  /** Where the next byte of `#body` lies. */
  #position = 0;
  #rest: Uint8Array = Buffer.alloc(0);
  #turn: Promise<unknown> = Promise.resolve();
  #open = true;

  /** `place`: the one that `first` was asked with; the reader gives it back. */
  constructor(get: Get, first: ObjectBody, place?: ReadPlace) {
    this.#get = get;
    this.size = first.size;
    this.#etag = first.etag;
    this.#body = first.body;
    this.#pieces = piecesOf(first.body);
    this.#place = place;
    place?.onLeave(() => this.#drop());
    place?.rest();
  }

  /** One at a time: there is one body. */
  read(buffer: Uint8Array, position: number): Promise<number> {
    const turn = this.#turn.then(() => this.#inPlace(buffer, position));
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  async close(): Promise<void> {
    this.#open = false;
    this.#drop();
    this.#place?.give();
  }

  /** Where the end was taken, or nothing is open, the place is of no more use. */
  async #inPlace(buffer: Uint8Array, position: number): Promise<number> {
    const place = this.#place;
    if (place === undefined) return this.#read(buffer, position);
    await place.take();
    try {
      return await this.#read(buffer, position);
    } finally {
      // It may have been asked for again while it was closed.
      if (!this.#open) this.#drop();
      if (this.#body === undefined || this.#position >= this.size) place.give();
      else place.rest();
    }
  }

  #drop(): void {
    this.#body?.destroy();
    this.#body = undefined;
  }

  async #read(buffer: Uint8Array, position: number): Promise<number> {
    if (!this.#open) throw new BlobStoreError("Failed", "The blob is closed.");
    if (position >= this.size || buffer.byteLength === 0) return 0;
    for (let attempt = 1; ; attempt++) {
      try {
        if (this.#body === undefined || this.#position !== position) await this.#ask(position);
        return await this.#next(buffer);
      } catch (error) {
        this.#drop();
        if (!this.#open || attempt === attempts || (error instanceof BlobStoreError && error.code === "NotFound")) throw error;
      }
    }
  }

  async #ask(position: number): Promise<void> {
    this.#body?.destroy();
    const { body } = await this.#get(position, this.#etag);
    this.#body = body;
    this.#pieces = piecesOf(body);
    this.#position = position;
    this.#rest = Buffer.alloc(0);
  }

  /** Fills as much of `buffer` as one piece has: the caller asks again. */
  async #next(buffer: Uint8Array): Promise<number> {
    while (this.#rest.byteLength === 0) {
      const { value, done } = await this.#pieces.next();
      if (done === true) throw new BlobStoreError("Unavailable", "The bucket's service ended an object early.");
      this.#rest = value;
    }
    const count = Math.min(buffer.byteLength, this.#rest.byteLength);
    buffer.set(this.#rest.subarray(0, count));
    this.#rest = this.#rest.subarray(count);
    this.#position += count;
    return count;
  }
}

function piecesOf(body: Readable): AsyncIterator<Buffer> {
  return body[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
}
