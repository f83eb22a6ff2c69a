// One request with its redirects, followed by hand: every hop is judged by the egress policy, and credentials end where the origin does.

import { on } from "node:events";

import { errors, type Agent, type Dispatcher } from "undici";

import { GatheredBytes } from "../../domain/gathered-bytes.ts";
import type { EgressPolicy } from "./egress.ts";
import { UpstreamError } from "./errors.ts";
import type { Hidden } from "./hidden.ts";
import type { UpstreamTarget } from "./target.ts";

export interface Exchange {
  readonly method: "GET" | "HEAD" | "POST";
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  /** Value of Authorization. Sent to the origin of `url` alone. */
  readonly authorization?: Hidden<string>;
  readonly body?: Hidden<string>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Dispatcher.ResponseData["body"];
  /** It came from another origin than the one that was asked. */
  readonly foreign: boolean;
}

const maxRedirects = 5;
/** Pieces of a body, of at most 64 KiB, that arrived and that nobody has taken yet; then the connection is not read any further. */
const waitingPieces = 16;
/** Milliseconds for the body of a manifest, a token, a page. */
const wholeTime = 60_000;
const redirects: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/** Resolves with the first answer that is no redirect; its body must be read or discarded. Rejects with UpstreamError. */
export async function exchange(target: UpstreamTarget, egress: EgressPolicy, agent: Agent, first: Exchange): Promise<Answer> {
  // One deadline for all hops: a client of ours waits for the headers, and containerd does so for 30 s at most.
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(), target.timeouts.connect + target.timeouts.firstByte);
  try {
    return await follow(target, egress, agent, first, deadline.signal);
  } catch (error) {
    throw deadline.signal.aborted ? timedOut(target, first.url, error) : toUpstreamError(target, first.url, error);
  } finally {
    clearTimeout(timer);
  }
}

async function follow(target: UpstreamTarget, egress: EgressPolicy, agent: Agent, first: Exchange, signal: AbortSignal): Promise<Answer> {
  let url = first.url;
  for (let hop = 0; ; hop++) {
    egress.checkUrl(target, url);
    const foreign = url.origin !== first.url.origin;
    const answer = await send(agent, { ...first, url, ...(foreign ? { authorization: undefined } : {}) }, signal);
    if (!redirects.has(answer.statusCode) || first.method === "POST") {
      return { status: answer.statusCode, headers: answer.headers, body: answer.body, foreign };
    }
    discard(answer.body);
    if (hop === maxRedirects) throw new UpstreamError("EgressRefused", `${first.url.host} redirects more than ${maxRedirects} times`);
    const next = locationOf(answer.headers["location"], url);
    if (next === undefined)
      throw new UpstreamError("UnexpectedAnswer", `${url.host} answers ${answer.statusCode} without a usable Location`);
    url = next;
  }
}

async function send(agent: Agent, hop: Exchange, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
  const headers: Record<string, string> = { "user-agent": "wharfinger", "accept-encoding": "identity", ...hop.headers };
  if (hop.authorization !== undefined) headers["authorization"] = hop.authorization.reveal();
  const options = {
    origin: hop.url.origin,
    path: hop.url.pathname + hop.url.search,
    method: hop.method,
    headers,
    body: hop.body?.reveal() ?? null,
    signal,
    highWaterMark: 1024 * 1024,
  };
  try {
    return await agent.request(options);
  } catch (error) {
    // A kept-alive connection that the other side closed at this very moment says nothing about the upstream.
    if (hop.method === "POST" || !isReset(error)) throw error;
    return agent.request(options);
  }
}

/** Reads a small answer whole. Rejects with UpstreamError: TooLarge beyond `maxBytes`, Timeout when it does not end in time. */
export async function readWhole(target: UpstreamTarget, answer: Answer, maxBytes: number): Promise<Buffer> {
  const gathered = new GatheredBytes(maxBytes);
  const { whole = wholeTime } = target.timeouts;
  const late = () => new UpstreamError("Timeout", `${target.url.host} did not send the whole of an answer within ${whole / 1000} s`);
  // Bytes that drip never run into the idle timeout, and hold a connection that others wait for.
  const timer = setTimeout(() => answer.body.destroy(late()), whole);
  try {
    for await (const chunk of answer.body) {
      if (!gathered.add(chunk as Uint8Array))
        throw new UpstreamError("TooLarge", `${target.url.host} sends more than ${maxBytes} bytes where that is the limit`);
    }
  } catch (error) {
    throw toUpstreamError(target, target.url, error);
  } finally {
    clearTimeout(timer);
  }
  return gathered.bytes();
}

/**
 * The body in the pieces in which it arrived, each in memory that is nobody else's. (Iterating the stream itself would join what waits in it:
 * a second copy of every byte.) Listens from now on, so that a failure before the first piece is taken is not lost. Rejects with undici's errors.
 */
export function piecesOf(body: Answer["body"]): AsyncGenerator<Uint8Array> {
  const arriving = on(body, "data", { close: ["end", "close"], highWaterMark: waitingPieces, lowWaterMark: 1 });
  return (async function* () {
    try {
      for await (const [piece] of arriving as AsyncIterable<[Uint8Array]>) yield piece;
    } finally {
      discard(body);
    }
  })();
}

/** Ends a body nobody wants, at the price of its connection. */
export function discard(body: Dispatcher.ResponseData["body"]): void {
  body.on("error", () => {});
  body.destroy();
}

/** Any failure of a connection or body in our own form. */
export function toUpstreamError(target: UpstreamTarget, url: URL, error: unknown): UpstreamError {
  if (error instanceof UpstreamError) return error;
  if (
    error instanceof errors.HeadersTimeoutError ||
    error instanceof errors.BodyTimeoutError ||
    error instanceof errors.ConnectTimeoutError
  ) {
    return timedOut(target, url, error);
  }
  if (error instanceof errors.SocketError || isReset(error) || error instanceof errors.ResponseContentLengthMismatchError) {
    return new UpstreamError("Truncated", `${url.host} closed the connection before its answer was complete`, { cause: error });
  }
  if (error instanceof errors.HTTPParserError) {
    return new UpstreamError("UnexpectedAnswer", `${url.host} does not speak proper HTTP`, { cause: error });
  }
  const code = (error as { code?: string }).code ?? "no answer";
  return new UpstreamError("Unreachable", `${url.host} cannot be reached (${code})`, { cause: error });
}

function timedOut(target: UpstreamTarget, url: URL, cause: unknown): UpstreamError {
  const seconds = (target.timeouts.connect + target.timeouts.firstByte) / 1000;
  const what =
    cause instanceof errors.BodyTimeoutError ? `sent nothing for ${target.timeouts.idle / 1000} s` : `did not answer within ${seconds} s`;
  return new UpstreamError("Timeout", `${url.host} ${what}`, { cause });
}

const isReset = (error: unknown) =>
  error instanceof errors.SocketError || ["ECONNRESET", "EPIPE"].includes((error as { code?: string } | null)?.code ?? "");

function locationOf(header: string | string[] | undefined, base: URL): URL | undefined {
  const text = Array.isArray(header) ? header[0] : header;
  return text === undefined ? undefined : (URL.parse(text, base.href) ?? undefined);
}
