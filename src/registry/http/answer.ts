// What a route of /v2 answers, and how it goes over the wire. Bodies are never compressed and types never get a charset: clients compare
// both byte for byte.

import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";

import { headers, mediaTypes } from "../../domain/media-types.ts";
import { sendBlob, type BlobPart, type SendOptions } from "./blob-sender.ts";
import { describeFailure } from "./errors.ts";
import { expectsContinue } from "./request-body.ts";

export interface Answer {
  readonly status: number;
  readonly headers: OutgoingHttpHeaders;
  readonly body?: Uint8Array | BlobPart;
}

const apiVersion = { [headers.apiVersion]: "registry/2.0" } as const;

export function jsonAnswer(body: unknown, options: { status?: number; headers?: OutgoingHttpHeaders; mediaType?: string } = {}): Answer {
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
  const { body } = answer;
  const fields: OutgoingHttpHeaders = { ...apiVersion, ...answer.headers };
  if (body instanceof Uint8Array) fields["content-length"] = body.length;
  // A body that was announced and never asked for may still come, or not: this connection is of no more use.
  if (expectsContinue(request) && !request.complete) fields["connection"] = "close";

  if (body === undefined || request.method === "HEAD" || body instanceof Uint8Array) {
    response.writeHead(answer.status, fields);
    response.end(request.method === "HEAD" ? undefined : body);
  } else {
    await sendBlob(response, () => response.writeHead(answer.status, fields), body, options);
  }
  drain(request);
}

/** Most of an unread body that is read and thrown away to keep the connection; beyond it the socket is cut. */
const drainedBytes = 8 * 1024 * 1024;
const drainedFor = 5_000;

/** After an early answer: the client must be able to read it before its connection is reset under the body it still sends. */
function drain(request: IncomingMessage): void {
  if (request.complete || request.destroyed) return;
  let left = drainedBytes;
  const cut = () => request.destroy();
  const timer = setTimeout(cut, drainedFor);
  request.on("data", (chunk: Uint8Array) => {
    left -= chunk.length;
    if (left < 0) cut();
  });
  request.once("close", () => clearTimeout(timer));
  request.once("end", () => clearTimeout(timer));
  request.on("error", () => {});
  request.resume();
}
