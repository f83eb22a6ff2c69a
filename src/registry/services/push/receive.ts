// Bytes of a body on their way into the store: hashed as they come, written in gathered pieces while the next ones arrive.

import { BlobStoreError, type BlobWriter } from "../../blobs/blob-store.ts";
import { Gathered, giveBack } from "../../blobs/gather.ts";
import { ServiceError } from "../errors.ts";
import type { Body } from "./push-service.ts";

/** Where the bytes go; opened when the first one is here, so that a probe without a body costs nothing. */
export interface Destination<RunningHash extends Hashing> {
  readonly writer: BlobWriter;
  readonly hash: RunningHash;
}

interface Hashing {
  update(bytes: Uint8Array): unknown;
}

export interface Reception<RunningHash extends Hashing> {
  readonly body: Body;
  readonly open: () => Promise<Destination<RunningHash>>;
  readonly interruption?: Interruption;
  /** Asked with the bytes of the body so far before they are stored: how many may come until it is asked again. What it rejects with ends the body. */
  readonly grow?: (bytes: number) => Promise<number>;
}

export interface Received<RunningHash extends Hashing> {
  /** Undefined when not one byte came. */
  readonly destination: Destination<RunningHash> | undefined;
  /** Bytes written and hashed. */
  readonly bytes: number;
  /** Why the body ended early; everything before is written. */
  readonly broken: Error | undefined;
}

/** Ends the reading of a body from outside, also while it waits for bytes. */
export class Interruption {
  #reason: Error | undefined;
  #reject: ((error: Error) => void) | undefined;

  interrupt(reason: Error): void {
    this.#reason ??= reason;
    this.#reject?.(this.#reason);
  }

  get reason(): Error | undefined {
    return this.#reason;
  }

  /** `work`, or a rejection as soon as somebody interrupts. (A race with one long-lived promise would keep every reaction in memory.) */
  async watch<T>(work: () => Promise<T>): Promise<T> {
    if (this.#reason !== undefined) throw this.#reason;
    try {
      return await new Promise<T>((resolve, reject) => {
        this.#reject = reject;
        work().then(resolve, reject);
      });
    } finally {
      this.#reject = undefined;
    }
  }
}

/**
 * Resolves when everything that arrived is written, also when the body broke. Rejects when the store or the database failed; the writer is
 * closed then. The body is never ended from here: what is left of it belongs to whoever answers the request.
 */
export async function receive<RunningHash extends Hashing>({
  body,
  open,
  interruption = new Interruption(),
  grow = () => Promise.resolve(Infinity),
}: Reception<RunningHash>): Promise<Received<RunningHash>> {
  const pieces = body[Symbol.asyncIterator]();
  const gathered = new Gathered();
  let destination: Destination<RunningHash> | undefined;
  let bytes = 0;
  let granted = 0;
  let writing: Promise<void> = Promise.resolve();
  let broken: Error | undefined;
  // One write at a time; it goes on while the next pieces arrive and are hashed.
  const write = async (writer: BlobWriter) => {
    await writing;
    const taken = gathered.take();
    writing = writer.write(taken).then(() => giveBack(taken));
    writing.catch(() => undefined);
  };
  try {
    for (;;) {
      const next = await interruption.watch(() => pieces.next()).catch((error: Error) => (broken = error));
      if (next instanceof Error || next.done === true) break;
      if (next.value.byteLength === 0) continue;
      if (bytes + next.value.byteLength > granted) granted = await grow(bytes + next.value.byteLength);
      destination ??= await open();
      destination.hash.update(next.value);
      bytes += next.value.byteLength;
      if (gathered.add(next.value)) await write(destination.writer);
    }
    if (destination !== undefined) await write(destination.writer);
    await writing;
  } catch (error) {
    await writing.catch(() => undefined);
    await destination?.writer.close();
    throw storeFailure(error);
  }
  return { destination, bytes, broken };
}

/** What a failure of the store means to the client. */
export function storeFailure(error: unknown): unknown {
  if (!(error instanceof BlobStoreError)) return error;
  if (error.code === "NoSpace") {
    return new ServiceError(
      "INSUFFICIENT_STORAGE",
      "The registry has no space left for blobs; pulls go on. Free space or ask an administrator.",
      {
        cause: error,
      },
    );
  }
  if (error.code === "NotFound") {
    return new ServiceError("BLOB_UPLOAD_UNKNOWN", "The bytes of this upload are gone. Start a new one.", { cause: error });
  }
  return error;
}
