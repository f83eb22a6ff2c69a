// One HTTP exchange with the registry: bounded bodies, errors in one form.

import { readFile } from "node:fs/promises";
import type { Socket } from "node:net";
import type { Duplex, Readable } from "node:stream";

import { Agent, request, type buildConnector, type Dispatcher } from "undici";

import { GatheredBytes } from "../domain/gathered-bytes.ts";
import { readRetryAfter } from "../domain/retry-after.ts";
import { trusting } from "./authority.ts";
import { ClientError, errorForStatus } from "./errors.ts";
import { whyNoAnswer } from "./no-answer.ts";

export interface Exchange {
  readonly method: Dispatcher.HttpMethod;
  /** Path and query, from `/`. */
  readonly path: string;
  readonly headers?: Record<string, string>;
  /** A stream is sent as it comes; say how long it is with Content-Length where that is known. */
  readonly body?: string | Uint8Array | Readable;
  /** Most bytes of an answer that are read; more is ClientError TooLarge. */
  readonly maxBytes?: number;
  /** Longest wait for the headers of the answer, milliseconds. */
  readonly timeout?: number;
  readonly signal?: AbortSignal;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Uint8Array;
}

const defaultMaxBytes = 64 * 1024 * 1024;

/** Who asks: nobody in particular, the bearer of a token, or a user. */
export interface Sender {
  readonly token?: string;
  /** File with the token, read for each request: the kubelet puts another one there long before the old one expires. */
  readonly tokenFile?: string;
  /** Asked before each request, for who is given tokens that do not last. */
  readonly issueToken?: () => Promise<string>;
  readonly login?: { readonly username: string; readonly password: string };
}

/** Opens a connection on which the registry listens, where there is another way to it than its address. */
export type Dial = () => Promise<Duplex>;

export interface TransportOptions extends Sender {
  /** scheme://host:port */
  readonly url: string;
  /** Sent with every request. */
  readonly headers?: Readonly<Record<string, string>>;
  /** PEM of those who may have signed its certificate; without it whom Node knows. Read for each new connection. */
  readonly caFile?: string | undefined;
  /** At once, 16 by default. */
  readonly connections?: number;
  readonly dial?: Dial | undefined;
  /** Aborted: what is under way ends, and nothing more is asked. */
  readonly signal?: AbortSignal | undefined;
}

/** Where a client goes, as whom, and whom it trusts there. */
export type ClientOptions = Sender & Pick<TransportOptions, "url" | "caFile" | "connections">;

export class Transport {
  readonly #url: string;
  readonly #sender: Sender;
  readonly #agent: Agent;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #signal: AbortSignal | undefined;

  constructor(options: TransportOptions) {
    const { dial, caFile, connections = 16 } = options;
    const connect = dial ? connector(dial) : caFile && trusting(caFile);
    this.#agent = new Agent({ keepAliveTimeout: 10_000, connections, bodyTimeout: 0, ...(connect && { connect }) });
    this.#headers = options.headers ?? {};
    this.#url = options.url.replace(/\/+$/, "");
    this.#sender = options;
    this.#signal = options.signal;
  }

  /** Rejects with ClientError for anything but 2xx. */
  async send(exchange: Exchange): Promise<Answer> {
    const answer = await this.#open(exchange);
    const body = await read(answer.body, exchange.maxBytes ?? defaultMaxBytes);
    if (answer.statusCode < 200 || answer.statusCode > 299) throw refusal(answer, body);
    return { status: answer.statusCode, headers: answer.headers, body };
  }

  /** The lines of a streamed answer (application/x-ndjson), as they arrive. */
  async *lines(exchange: Exchange): AsyncGenerator<string> {
    const answer = await this.#open(exchange);
    if (answer.statusCode < 200 || answer.statusCode > 299) {
      throw refusal(answer, await read(answer.body, defaultMaxBytes));
    }
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of answer.body) {
      rest += decoder.decode(chunk as Uint8Array, { stream: true });
      const lines = rest.split("\n");
      rest = lines.pop() ?? "";
      yield* lines.filter((line) => line !== "");
    }
    if (rest !== "") yield rest;
  }

  /** Lets running requests end. */
  async close(): Promise<void> {
    await this.#agent.close();
  }

  /** Ends running requests too. */
  async destroy(): Promise<void> {
    await this.#agent.destroy();
  }

  async #open(exchange: Exchange): Promise<Dispatcher.ResponseData> {
    const headers: Record<string, string> = { ...this.#headers, ...exchange.headers };
    const authorization = await authorizationOf(this.#sender);
    const signal = exchange.signal ?? this.#signal;
    if (authorization !== undefined) headers["authorization"] = authorization;
    try {
      return await request(`${this.#url}${exchange.path}`, {
        method: exchange.method,
        headers,
        body: exchange.body ?? null,
        headersTimeout: exchange.timeout ?? 60_000,
        dispatcher: this.#agent,
        ...(signal === undefined ? {} : { signal }),
      });
    } catch (cause) {
      throw new ClientError("Unreachable", `No answer from the registry at ${this.#url}: ${whyNoAnswer(cause)}`, { cause });
    }
  }
}

function connector(dial: Dial): buildConnector.connector {
  const connect = async (done: buildConnector.Callback) => {
    try {
      // undici asks no more of a socket than what every Duplex has.
      done(null, (await dial()) as Socket);
    } catch (error) {
      done(error as Error, null);
    }
  };
  return (_, done) => void connect(done);
}

/** Rejects with ClientError. */
async function authorizationOf({ token, tokenFile, issueToken, login }: Sender): Promise<string | undefined> {
  if (token !== undefined) return `Bearer ${token}`;
  if (tokenFile !== undefined) return `Bearer ${await readToken(tokenFile)}`;
  if (issueToken !== undefined) return `Bearer ${await issueToken()}`;
  return login === undefined ? undefined : `Basic ${Buffer.from(`${login.username}:${login.password}`).toString("base64")}`;
}

async function readToken(file: string): Promise<string> {
  const text = await readFile(file, "utf8").catch((cause: NodeJS.ErrnoException) => {
    throw new ClientError("Unauthorized", `The token in ${file} cannot be read (${cause.code ?? cause.message})`, { cause });
  });
  return text.trim();
}

async function read(body: AsyncIterable<Uint8Array>, maxBytes: number): Promise<Uint8Array> {
  const gathered = new GatheredBytes(maxBytes);
  for await (const chunk of body) {
    if (!gathered.add(chunk)) throw new ClientError("TooLarge", `The answer is larger than ${maxBytes} bytes`, { status: 413 });
  }
  return gathered.bytes();
}

function refusal({ statusCode, headers }: Dispatcher.ResponseData, body: Uint8Array): ClientError {
  return errorForStatus(statusCode, { ...describe(statusCode, body), retryAfter: readRetryAfter(headers, Date.now()) });
}

/** What the registry's own error form says, or the beginning of whatever came. */
function describe(status: number, body: Uint8Array): { message: string; detail?: unknown } {
  const text = new TextDecoder().decode(body.subarray(0, 64 * 1024));
  try {
    const parsed = JSON.parse(text) as { errors?: { code?: string; message?: string; detail?: unknown }[] };
    const messages = (parsed.errors ?? []).map((error) => error.message ?? error.code ?? "").filter((message) => message !== "");
    if (messages.length > 0) return { message: messages.join("; "), detail: parsed.errors?.[0]?.detail };
  } catch {
    // not ours: below
  }
  return { message: `HTTP ${status}${text === "" ? "" : `: ${text.slice(0, 200)}`}` };
}
