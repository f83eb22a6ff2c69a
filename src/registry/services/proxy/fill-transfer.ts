// The bytes of one blob from upstream, in order and each once, however often the connection breaks; at the end they hash to the digest.

import { algorithmOf, finishDigest, startDigest, type Digest } from "../../../domain/digest.ts";
import { UpstreamError } from "../../upstream/errors.ts";
import type { RemoteBody } from "../../upstream/upstream-client.ts";

const maxResumes = 3;

export interface FillTransferOptions {
  readonly digest: Digest;
  /** Bytes; undefined: upstream does not say, known at the end. */
  readonly size: number | undefined;
  /** Where a transfer of unknown size ends. */
  readonly maxBytes: number;
  readonly first: RemoteBody;
  /** Asks upstream again for the bytes from `from` on. */
  readonly again: (from: number) => Promise<RemoteBody | undefined>;
  /** Milliseconds before the first resumption, doubled for each. */
  readonly resumePause?: number;
}

export class FillTransfer {
  readonly #options: FillTransferOptions;
  #body: RemoteBody;
  #received = 0;
  /** Set when it was ended from here: why. */
  #stopped: string | undefined;

  constructor(options: FillTransferOptions) {
    this.#options = options;
    this.#body = options.first;
  }

  /** Bytes. */
  get received(): number {
    return this.#received;
  }

  /** Gives every piece to `take`. Resolves with the size when all are here and right; rejects with UpstreamError, or as `take` did. */
  async run(take: (piece: Uint8Array) => Promise<void>): Promise<number> {
    const { digest } = this.#options;
    const hash = startDigest(algorithmOf(digest));
    const hashAndTake = (piece: Uint8Array) => {
      hash.update(piece);
      return take(piece);
    };
    try {
      await this.#receive(hashAndTake);
      const found = finishDigest(hash, algorithmOf(digest));
      if (found === digest) return this.#received;
      throw new UpstreamError("DigestMismatch", `upstream answers blob ${digest} with bytes that hash to ${found}`);
    } catch (error) {
      this.#body.discard();
      throw error;
    }
  }

  stop(reason: string): void {
    this.#stopped ??= reason;
    this.#body.discard();
  }

  async #receive(take: (piece: Uint8Array) => Promise<void>): Promise<void> {
    for (let resumes = 0; ; resumes++) {
      try {
        return await this.#drain(take);
      } catch (error) {
        this.#body.discard();
        if (this.#stopped !== undefined) throw new UpstreamError("Unreachable", this.#stopped);
        if (resumes === maxResumes || !isResumable(error)) throw error;
        await this.#resume(resumes, error);
      }
    }
  }

  async #resume(resumes: number, reason: unknown): Promise<void> {
    const { resumePause = 100, again, size } = this.#options;
    await new Promise((resolve) => setTimeout(resolve, resumePause * 2 ** resumes));
    let body: RemoteBody | undefined;
    try {
      body = await again(this.#received);
    } catch (error) {
      if (!isResumable(error)) throw error;
      this.#body = broken(error as Error, this.#received);
      return;
    }
    if (body === undefined) throw reason;
    this.#body = body;
    if (body.size === undefined || size === undefined || body.size === size) return;
    throw new UpstreamError("UnexpectedAnswer", `upstream says that the blob has ${body.size} bytes, and said ${size} before`);
  }

  async #drain(take: (piece: Uint8Array) => Promise<void>): Promise<void> {
    const { digest, size, maxBytes } = this.#options;
    // An upstream that ignores Range starts again; what is here already is passed over.
    let skip = this.#received - this.#body.start;
    for await (const whole of this.#body.body) {
      if (this.#stopped !== undefined) throw new UpstreamError("Unreachable", this.#stopped);
      const piece = skip === 0 ? whole : whole.subarray(Math.min(skip, whole.byteLength));
      const bytes = piece.byteLength;
      skip -= whole.byteLength - bytes;
      if (bytes === 0) continue;
      if (size !== undefined && this.#received + bytes > size) {
        throw new UpstreamError("DigestMismatch", `upstream sends more than the ${size} bytes of blob ${digest}`);
      }
      if (size === undefined && this.#received + bytes > maxBytes) {
        throw new UpstreamError(
          "TooLarge",
          `upstream does not say how large blob ${digest} is and sends more than ${maxBytes} bytes, the most that are copied (setting spool.maxBlobBytes)`,
        );
      }
      this.#received += bytes;
      await take(piece);
    }
    // A body that was discarded ends like one that is whole.
    if (this.#stopped !== undefined) throw new UpstreamError("Unreachable", this.#stopped);
    if (size !== undefined && this.#received < size) {
      throw new UpstreamError("Truncated", `upstream sent ${this.#received} of ${size} bytes of blob ${digest}`);
    }
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
