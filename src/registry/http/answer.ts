// What a route of /v2 answers, and how it goes over the wire. Bodies are never compressed and types never get a charset: clients compare
// both byte for byte.

import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";

import { headers, mediaTypes } from "../../domain/media-types.ts";
import { sendBlob, type BlobPart, type SendOptions } from "./v2/blob-sender.ts";
import { deliver, deliverWhole, type DeliveryOptions } from "./v2/delivery.ts";
import { describeFailure } from "./errors.ts";
import { expectsContinue } from "./request-body.ts";

export interface Answer {
  readonly status: number;
  readonly headers: OutgoingHttpHeaders;
  readonly body?: Uint8Array | BlobPart;
}

/** An answer that is in memory. */
export interface WholeAnswer extends Answer {
  readonly body?: Uint8Array;
}

const apiVersion = { [headers.apiVersion]: "registry/2.0" } as const;

export function jsonAnswer(
  body: unknown,
  options: { status?: number; headers?: OutgoingHttpHeaders; mediaType?: string } = {},
): WholeAnswer {
  return {
    status: options.status ?? 200,
    headers: { ...options.headers, "content-type": options.mediaType ?? mediaTypes.json },
    body: Buffer.from(JSON.stringify(body)),
  };
}

export function emptyAnswer(status: number, headers: OutgoingHttpHeaders): Answer {
  return { status, headers: status === 204 || status === 304 ? headers : { ...headers, "content-length": 0 } };
}

export function failureAnswer(error: unknown): Answer {
  const failure = describeFailure(error);
  return jsonAnswer(failure.body, { status: failure.status, headers: failure.headers });
}

/** Sends an answer; rejects when a blob failed before its first byte (then nothing was sent yet). */
export async function sendAnswer(request: IncomingMessage, response: ServerResponse, answer: Answer, options: SendOptions): Promise<void> {
  const { status, body } = answer;
  const fields: OutgoingHttpHeaders = { ...apiVersion, ...answer.headers, ...connectionAfter(request) };
  if (body === undefined || body instanceof Uint8Array)
    return sendWhole(request, response, { status, headers: fields, ...(body === undefined ? {} : { body }) }, options);
  await sendBlob(response, () => response.writeHead(status, fields), body, options);
}

/** Sends an answer with no other headers than its own. A client that does not take it is cut off. */
export async function sendWhole(
  request: IncomingMessage,
  response: ServerResponse,
  answer: WholeAnswer,
  options: DeliveryOptions,
): Promise<void> {
  const { status, headers, body } = answer;
  const length = body === undefined ? {} : { "content-length": body.length };
  response.writeHead(status, { ...headers, ...length, ...connectionAfter(request) });
  const sent = request.method === "HEAD" ? undefined : body;
  if (!isAbandoned(request) && hasUnreadBody(request)) await sendLingering(request, response, sent, options);
  else await deliverWhole(response, sent, options);
}

/** A body that was announced and not asked for may come or not, one that is under way has no end in sight: this connection is of no more use. */
function connectionAfter(request: IncomingMessage): OutgoingHttpHeaders {
  return isAbandoned(request) || hasUnreadBody(request) ? { connection: "close" } : {};
}

function isAbandoned(request: IncomingMessage): boolean {
  return expectsContinue(request) && !request.complete;
}

/** A client that still sends gets to read the answer before its connection is closed under it. */
async function sendLingering(
  request: IncomingMessage,
  response: ServerResponse,
  body: Uint8Array | undefined,
  options: DeliveryOptions,
): Promise<void> {
  if (body === undefined) response.flushHeaders();
  else response.write(body);
  await drain(request);
  await deliver(response, (taken) => response.end(taken), options);
}

function hasUnreadBody(request: IncomingMessage): boolean {
  if (request.complete) return false;
  return request.headers["transfer-encoding"] !== undefined || Number(request.headers["content-length"] ?? 0) > 0;
}

/** Most of an unread body that is read and thrown away, bytes and milliseconds; beyond it the socket is cut. */
const drainedBytes = 8 * 1024 * 1024;
const drainedFor = 5_000;

function drain(request: IncomingMessage): Promise<void> {
  return new Promise((resolve) => {
    let left = drainedBytes;
    const cut = () => request.destroy();
    const timer = setTimeout(cut, drainedFor);
    const done = () => {
      clearTimeout(timer);
      resolve();
    };
    request.on("data", (chunk: Uint8Array) => {
      left -= chunk.length;
      if (left < 0) cut();
    });
    request.on("error", () => {});
    request.once("end", done);
    request.once("close", done);
    request.resume();
  });
}
