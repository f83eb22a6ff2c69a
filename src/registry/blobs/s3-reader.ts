// Reads of one object. Who reads on where the last read ended gets the bytes of one request; a break in the middle is asked for again from there.

import type { IncomingMessage } from "node:http";
import type { Readable } from "node:stream";

import { BlobStoreError, type BlobReader, type Span } from "./blob-store.ts";
import type { ReadPlace } from "./read-places.ts";

/** Bytes of an object, to its end when none is named. */
export interface From {
  readonly start: number;
  readonly end?: number;
}

export const fromBegin: From = { start: 0 };

/** A request for bytes; `etag`: of the object as it was opened. */
export type Get = (from: From, etag?: string) => Promise<ObjectBody>;

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
  /** What is asked for; reads outside of it ask for all that follows. */
  readonly #span: Span;
  #body: Readable | undefined;
  #pieces: AsyncIterator<Buffer>;
  /** Where the next byte of `#body` lies. */
  #position: number;
  /** Where `#body` ends. */
  #end: number;
  #rest: Uint8Array = Buffer.alloc(0);
  #turn: Promise<unknown> = Promise.resolve();
  #open = true;

  /** `first`: of `span`, or of the whole. `place`: the one that it was asked with; the reader gives it back. */
  constructor(get: Get, first: ObjectBody, { place, span }: { readonly place?: ReadPlace; readonly span?: Span | undefined } = {}) {
    this.#get = get;
    this.size = first.size;
    this.#etag = first.etag;
    this.#span = span ?? { start: 0, end: first.size };
    this.#position = this.#span.start;
    this.#end = this.#span.end;
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
      if (this.#position >= this.#end && !isOver(this.#body)) this.#drop();
      if (this.#body === undefined || this.#position >= this.#end) place.give();
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
    const isInside = position >= this.#span.start && position < this.#span.end;
    const end = isInside ? this.#span.end : this.size;
    const { body } = await this.#get({ start: position, ...(end < this.size ? { end } : {}) }, this.#etag);
    this.#body = body;
    this.#pieces = piecesOf(body);
    this.#position = position;
    this.#end = end;
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

/** All of it has arrived: its connection is free. */
function isOver(body: Readable | undefined): boolean {
  return body === undefined || (body as Partial<IncomingMessage>).complete === true;
}

function piecesOf(body: Readable): AsyncIterator<Buffer> {
  return body[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
}
