// The body of a request as an iteration that cannot be held open for nothing: no limit on its total time, since a layer may take an
// hour, but a limit on silence and a least rate. Reads only when asked, so that `Expect: 100-continue` is answered after authorization.

import type { IncomingMessage, ServerResponse } from "node:http";

import { GatheredBytes } from "../../domain/gathered-bytes.ts";
import { ServiceError } from "../services/errors.ts";
import { HttpError } from "./errors.ts";

export interface BodyLimits {
  /** Longest silence, milliseconds. */
  readonly stallTimeout: number;
  /** Bytes a second that the sender must reach over `rateWindow` of waiting for it. */
  readonly leastRate: number;
  /** Milliseconds. */
  readonly rateWindow: number;
}

/** An upload below a kilobyte a second is no upload, it is somebody holding a session. */
export const leastUploadRate: Pick<BodyLimits, "leastRate" | "rateWindow"> = { leastRate: 1024, rateWindow: 60_000 };

/** The chunks of the body. Throws HttpError BODY_STALLED, or the connection's error when the client goes. */
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

/** Memory that all bodies under way which are read whole may take together, bytes. */
export class BodyBudget {
  readonly #most: number;
  #taken = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /** Throws ServiceError UNAVAILABLE when there is no room for it. */
  take(bytes: number): void {
    if (this.#taken + bytes > this.#most) {
      throw new ServiceError("UNAVAILABLE", "Too many manifests are being sent at once. Send this one again in a moment.", {
        retryAfter: 2,
      });
    }
    this.#taken += bytes;
  }

  give(bytes: number): void {
    this.#taken -= bytes;
  }
}

const processBudget = new BodyBudget(64 * 1024 * 1024);

/**
 * What `use` makes of the whole body; undefined when that is larger than `limit` bytes. The budget has it back when `use` has settled, since
 * that is how long the bytes are held. Rejects with ServiceError UNAVAILABLE beyond the budget.
 */
export async function withWholeBody<T>(
  chunks: AsyncIterable<Uint8Array>,
  limit: number,
  use: (bytes: Uint8Array) => Promise<T>,
  budget = processBudget,
): Promise<T | undefined> {
  const gathered = new GatheredBytes(limit);
  let held = 0;
  try {
    for await (const chunk of chunks) {
      if (!gathered.add(chunk)) return undefined;
      budget.take(gathered.capacity - held);
      held = gathered.capacity;
    }
    return await use(gathered.bytes());
  } finally {
    budget.give(held);
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
        timer = setTimeout(() => reject(stalled(`nothing came for ${this.#limits.stallTimeout / 1000} s`)), this.#limits.stallTimeout);
        next.then(resolve, reject);
      });
    } finally {
      clearTimeout(timer);
      this.#waited += performance.now() - started;
    }
  }

  received(bytes: number): void {
    this.#received += bytes;
    const { leastRate, rateWindow } = this.#limits;
    if (this.#waited < rateWindow) return;
    if (this.#received < (leastRate * this.#waited) / 1000) throw stalled(`it came at less than ${leastRate} bytes a second`);
    this.#waited = 0;
    this.#received = 0;
  }
}

function stalled(reason: string): HttpError {
  return new HttpError("BODY_STALLED", `The body was given up: ${reason}. Send it again, or continue the upload where it stopped.`, {
    connection: "close",
  });
}
