// Answers of routes that fastify found, sent without it: it would keep the connection open, read whatever body still comes to its end, and
// wait for ever for a client that takes nothing.

import { Readable } from "node:stream";

import type { FastifyReply, FastifyRequest } from "fastify";

import { sendWhole, type WholeAnswer } from "./answer.ts";
import { deliver, type DeliveryOptions } from "./v2/delivery.ts";
import { readBody, leastUploadRate } from "./request-body.ts";

/** Never rejects: what cannot be answered any more is ended. */
export async function replyWhole(
  request: FastifyRequest,
  reply: FastifyReply,
  answer: WholeAnswer,
  options: DeliveryOptions,
): Promise<void> {
  reply.hijack();
  try {
    await sendWhole(request.raw, reply.raw, answer, options);
  } catch {
    reply.raw.destroy();
  }
}

/**
 * Newline-delimited JSON, each line sent as soon as it is known. The first one is awaited before anything is sent, so that what fails at once
 * rejects and can be answered; later the connection is cut, so that nobody takes a part for the whole.
 */
export async function replyLines(reply: FastifyReply, answers: AsyncIterable<unknown>, options: DeliveryOptions): Promise<void> {
  const iterator = answers[Symbol.asyncIterator]();
  let next = await iterator.next();
  reply.hijack();
  const response = reply.raw;
  try {
    response.writeHead(200, { "content-type": "application/x-ndjson" });
    for (; next.done !== true && !response.destroyed; next = await iterator.next()) {
      const line = `${JSON.stringify(next.value)}\n`;
      await deliver(response, (taken) => response.write(line, taken), options);
    }
    await deliver(response, (taken) => response.end(taken), options);
  } catch {
    response.destroy();
  } finally {
    // Whoever makes the lines stops when nobody reads them.
    await iterator.return?.();
  }
}

/** The body for fastify's parsers, given up when it stalls. Rejects reads with HttpError REQUEST_STALLED. */
export function watchedBody({ raw }: FastifyRequest, reply: FastifyReply, stallTimeout: number): Readable {
  return Readable.from(readBody(raw, reply.raw, { stallTimeout, ...leastUploadRate, stalled: "REQUEST_STALLED" }), { objectMode: false });
}
