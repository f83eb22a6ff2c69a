// The body of a request as an iteration that cannot be held open for nothing: no limit on the total time of a layer, which may take an hour,
// but a limit on silence and a least rate; a total time for what is held in memory. Reads only when asked, so that `Expect: 100-continue` is answered after authorization.

import type { IncomingMessage, ServerResponse } from "node:http";

import { GatheredBytes } from "../../domain/gathered-bytes.ts";
import { HttpError, type HttpErrorCode } from "./errors.ts";
import { MemoryBudget } from "./limits/memory-budget.ts";

export interface BodyLimits {
  /** Longest silence, milliseconds. */
  readonly stallTimeout: number;
  /** Bytes a second that the sender must reach over `rateWindow` of waiting for it. */
  readonly leastRate: number;
  /** Milliseconds. */
  readonly rateWindow: number;
  /** Milliseconds of waiting for the sender in all; no limit by default. */
  readonly totalTime?: number;
  /** What a body that stalls is refused as: BODY_STALLED by default. */
  readonly stalled?: HttpErrorCode;
}

/** An upload below a kilobyte a second is no upload, it is somebody holding a session. */
export const leastUploadRate: Pick<BodyLimits, "leastRate" | "rateWindow"> = { leastRate: 1024, rateWindow: 60_000 };

/** Milliseconds for a manifest, which waits in memory: 4 MiB at 70 KB/s. */
export const manifestTime = 60_000;

/** The chunks of the body. Throws HttpError BODY_STALLED (or what `limits` says) or MANIFEST_LATE, or the connection's error when the client goes. */
export async function* readBody(request: IncomingMessage, response: ServerResponse, limits: BodyLimits): AsyncGenerator<Uint8Array> {
  if (expectsContinue(request) && !response.headersSent) response.writeContinue();
  // A consumer that stops early must still be able to answer on this connection.
  const chunks = request.iterator({ destroyOnReturn: false }) as AsyncIterator<Uint8Array>;
  const pace = new Pace(limits);
  for (;;) {
    const next = await pace.within(chunks.next());
    if (next.done === true) return;
    pace.received(next.value.length);
    yield next.value;
  }
}

/** `most`: bytes of all bodies under way that are read whole. */
export function bodyBudget(most: number): MemoryBudget {
  return new MemoryBudget({
    most,
    words: {
      ofSender: "You are sending too many manifests at once. Send this one again when others are done.",
      ofAll: "Too many manifests are being sent at once. Send this one again in a moment.",
    },
  });
}

const processBudget = bodyBudget(64 * 1024 * 1024);

export interface WholeBody {
  readonly chunks: AsyncIterable<Uint8Array>;
  /** Bytes. */
  readonly limit: number;
  /** Whose share of the budget it takes. */
  readonly sender: string;
}

/**
 * What `use` makes of the whole body; undefined when that is larger than `limit` bytes. The budget has it back when `use` has settled, since
 * that is how long the bytes are held. Rejects with ServiceError UNAVAILABLE beyond the budget.
 */
export async function withWholeBody<T>(
  { chunks, limit, sender }: WholeBody,
  use: (bytes: Uint8Array) => Promise<T>,
  budget = processBudget,
): Promise<T | undefined> {
  const gathered = new GatheredBytes(limit);
  let held = 0;
  try {
    for await (const chunk of chunks) {
      if (!gathered.add(chunk)) return undefined;
      budget.take(gathered.capacity - held, sender);
      held = gathered.capacity;
    }
    return await use(gathered.bytes());
  } finally {
    budget.give(held, sender);
  }
}

/** Content-Length, undefined for a chunked body. */
export function declaredLength(request: IncomingMessage): number | undefined {
  const text = request.headers["content-length"];
  return text === undefined ? undefined : Number(text);
}

export function expectsContinue(request: IncomingMessage): boolean {
  return request.headers.expect?.toLowerCase() === "100-continue";
}

/** Counts only the time spent waiting for the sender: a slow disk of ours is not the client's fault. */
class Pace {
  readonly #limits: BodyLimits;
  #allWaited = 0;
  /** Since the rate was looked at. */
  #waited = 0;
  #received = 0;

  constructor(limits: BodyLimits) {
    this.#limits = limits;
  }

  async within<T>(next: Promise<T>): Promise<T> {
    const started = performance.now();
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise<T>((resolve, reject) => {
        const { stallTimeout, totalTime = Infinity } = this.#limits;
        const left = totalTime - this.#allWaited;
        const giveUp = () => reject(left < stallTimeout ? late(totalTime) : this.#stalled(`nothing came for ${stallTimeout / 1000} s`));
        timer = setTimeout(giveUp, Math.max(0, Math.min(left, stallTimeout)));
        next.then(resolve, reject);
      });
    } finally {
      clearTimeout(timer);
      this.#waited += performance.now() - started;
      this.#allWaited += performance.now() - started;
    }
  }

  received(bytes: number): void {
    this.#received += bytes;
    const { leastRate, rateWindow } = this.#limits;
    if (this.#waited < rateWindow) return;
    if (this.#received < (leastRate * this.#waited) / 1000) throw this.#stalled(`it came at less than ${leastRate} bytes a second`);
    this.#waited = 0;
    this.#received = 0;
  }

  #stalled(reason: string): HttpError {
    const { stalled = "BODY_STALLED" } = this.#limits;
    const upload = stalled === "BODY_STALLED" ? ", or continue the upload where it stopped" : "";
    return new HttpError(stalled, `The body was given up: ${reason}. Send it again${upload}.`, { connection: "close" });
  }
}

function late(totalTime: number): HttpError {
  return new HttpError("MANIFEST_LATE", `The manifest did not come whole within ${totalTime / 1000} s. Send it again.`, {
    connection: "close",
  });
}
