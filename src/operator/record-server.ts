// The record for people's git, where it has no remote: `/record.git` on a port of its own, for administrators (design: record, "no remote configured").

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";

import type { ListenAddress } from "../config/listen.ts";
import { listening, type Listening } from "../listeners/listening.ts";
import { makeRoom } from "../listeners/make-room.ts";
import { limitPipelining } from "../listeners/pipelining.ts";
import type { Logger } from "../observability/logger.ts";
import { mostPushed, type GitAnswer, type GitExchange, type GitStep } from "../record/http-backend.ts";
import type { Admission, Admit } from "./record-callers.ts";

export interface RecordServerOptions {
  readonly listen: ListenAddress;
  readonly admit: Admit;
  /** Undefined: this process does not hold it. */
  readonly record: () => { serve(exchange: GitExchange): Promise<GitAnswer> } | undefined;
  readonly logger: Logger;
}

const base = "/record.git";
const challenge = { "www-authenticate": 'Basic realm="Wharfinger record", charset="UTF-8"' };
/** Bytes of a body: as it comes, which is more than git takes of a push, so that git says what is wrong with it; and inflated. */
const most = { body: mostPushed + 1024 * 1024, inflated: 64 * 1024 * 1024 } as const;
/** Each is a process of git's. */
const atOnce = 4;
/** A git has one or two; of an address that has most of them the oldest goes for who comes. */
const connections = 64;
/** Milliseconds for an exchange, the body before it and the reading of the answer. */
const takes = 120_000;

/** Rejects when the address cannot be listened on. */
export async function startRecordServer(options: RecordServerOptions): Promise<Listening> {
  let running = 0;
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const step = stepOf(request);
    if (step === undefined) return say(response, 404, `There is ${base}, for git: wharfinger record clone.`);
    const admission = await options.admit(request.headers.authorization);
    // Before there is a place to take: who is none of them keeps nobody out.
    if (admission.state !== "administrator") return refuse(response, admission);
    if (running >= atOnce)
      return say(response, 503, "Others ask for the record at the moment. Try again in a few seconds.", { "retry-after": "2" });
    running++;
    await exchange(request, response, { ...options, step }).finally(() => running--);
  };
  const serve = (request: IncomingMessage, response: ServerResponse) => {
    answer(request, response).catch((error: unknown) => {
      // Who went in the middle is no news.
      if (response.destroyed) return;
      options.logger.warn({ err: error }, "somebody's git was not answered");
      if (response.headersSent) response.destroy();
      else say(response, 500, "The record could not be read. The operator's log says why.");
    });
  };
  const server = createServer(
    { requestTimeout: takes, headersTimeout: 15_000, connectionsCheckingInterval: 5_000 },
    limitPipelining(serve),
  );
  makeRoom(server, connections);
  return listening(server, options.listen, { what: "The record", option: "--record-listen" });
}

type ExchangeOptions = Pick<RecordServerOptions, "record"> & { readonly step: GitStep };

/** With an administrator. */
async function exchange(request: IncomingMessage, response: ServerResponse, { step, record }: ExchangeOptions): Promise<void> {
  const body = await bodyOf(request, step);
  if (typeof body === "number") return say(response, body, bodyProblems[body] ?? "");
  // Not before: until the body is here it may have been handed over.
  const opened = record();
  if (opened === undefined)
    return say(response, 503, "This process does not hold the record: it waits for its turn. Ask the one that holds the Lease.", {
      "retry-after": "5",
    });
  const left = new AbortController();
  response.once("close", () => left.abort());
  // Who pushed may be gone: what came whole is taken, or not, for what it is.
  const late = AbortSignal.timeout(takes);
  const signal = step === "receive-pack" ? late : AbortSignal.any([late, left.signal]);
  const protocol = request.headers["git-protocol"];
  const answer = await opened.serve({ step, body, protocol: typeof protocol === "string" ? protocol : undefined, signal });
  response.writeHead(answer.status, answer.headers);
  await pipeline(Readable.from(answer.body), response).catch((error: unknown) => {
    if (!left.signal.aborted) throw error;
  });
}

function stepOf({ method, url = "" }: IncomingMessage): GitStep | undefined {
  switch (`${method ?? ""} ${url}`) {
    case `GET ${base}/info/refs?service=git-upload-pack`:
      return "advertise-fetch";
    case `GET ${base}/info/refs?service=git-receive-pack`:
      return "advertise-push";
    case `POST ${base}/git-upload-pack`:
      return "upload-pack";
    case `POST ${base}/git-receive-pack`:
      return "receive-pack";
    default:
      return undefined;
  }
}

function refuse(response: ServerResponse, admission: Exclude<Admission, { state: "administrator" }>): void {
  const { state, message } = admission;
  if (state === "unknown") return say(response, 401, message, challenge);
  if (state === "refused") return say(response, 403, `The record is for administrators of the registry. ${message}`);
  const what =
    "The registry, which knows the administrators, does not say whether you are one. Nothing was read or changed: try again when it answers.";
  return say(response, 503, `${what}\n${message}`, { "retry-after": "5" });
}

const bodyProblems: Readonly<Record<number, string>> = {
  400: "The body is not compressed as its Content-Encoding says.",
  413: "What git asks of the record is smaller than this.",
  415: "A body is git's, as it is or with gzip.",
};

/**
 * Or why not, as a status. It is bounded and here before git begins: a slow sender holds up nobody. What is too much is read to its end, or the sender
 * would hear of a broken connection and not why; of a push so much is left that git refuses it.
 */
async function bodyOf(request: IncomingMessage, step: GitStep): Promise<Uint8Array | 400 | 413 | 415> {
  if (request.method === "GET") return new Uint8Array();
  // No page in somebody's browser can send that type unasked.
  if (request.headers["content-type"] !== `application/x-git-${step}-request`) return 415;
  const encoding = request.headers["content-encoding"] ?? "identity";
  if (!["identity", "gzip", "x-gzip"].includes(encoding)) return 415;
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    if (size < most.body) chunks.push(chunk);
    size += chunk.length;
  }
  if (size > most.body && (step !== "receive-pack" || encoding !== "identity")) return 413;
  const body = Buffer.concat(chunks);
  if (encoding === "identity") return body;
  try {
    return await promisify(gunzip)(body, { maxOutputLength: most.inflated });
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE" ? 413 : 400;
  }
}

/** git shows a plain text to the person. What is left of the request is not read. */
function say(response: ServerResponse, status: number, text: string, headers: Readonly<Record<string, string>> = {}): void {
  response
    .writeHead(status, { "content-type": "text/plain; charset=utf-8", "cache-control": "no-store", connection: "close", ...headers })
    .end(`${text}\n`);
}
