// Requests to the API server, authenticated, each with an end of its own; and streams that are given up when they fall silent.

import { setTimeout as sleep } from "node:timers/promises";

import { Agent, request, type Dispatcher } from "undici";

import type { ClusterAccess, Credentials } from "./credentials.ts";
import { errorOf, KubeError } from "./errors.ts";
import { fieldManager, type KubeObject } from "./objects.ts";

export interface KubeRequest {
  readonly method?: Dispatcher.HttpMethod;
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly accept?: string;
  /** Longest wait for the whole answer, milliseconds; 30,000 by default. Of a stream: for each piece of it. */
  readonly timeout?: number;
  readonly signal?: AbortSignal | undefined;
}

const answerWithin = 30_000;
/** Of a pause that the server names. */
const longestOver = 1.2;
/** The first probe of a connection on which nothing moves; the system asks ten more times, a second apart. Milliseconds. */
const probeAfter = 10_000;

export class KubeClient {
  readonly #access: ClusterAccess;
  #agent: { readonly identity: string; readonly agent: Agent } | undefined;

  constructor(access: ClusterAccess) {
    this.#access = access;
  }

  /**
   * The answer, parsed. A server that is busy and says for how long is asked again then, when that is still in time: what it shed it has not
   * done. Rejects with KubeError.
   */
  async send<Answer>({ timeout = answerWithin, signal, ...asked }: KubeRequest): Promise<Answer> {
    const late = AbortSignal.timeout(timeout);
    const ended = signal === undefined ? late : AbortSignal.any([signal, late]);
    const until = performance.now() + timeout;
    for (;;) {
      try {
        return await this.#once<Answer>({ ...asked, signal: ended }, timeout);
      } catch (error) {
        const pause = error instanceof KubeError && error.busy ? error.retryAfter : undefined;
        if (pause === undefined || performance.now() + pause * longestOver >= until) throw error;
        // Not all who were turned away in the same moment come back in the same moment.
        await sleep(pause * (1 + Math.random() * (longestOver - 1)), undefined, { signal: ended }).catch(() => {
          throw error;
        });
      }
    }
  }

  /** Server-side apply, owning what it says. An object that is not there is made, unless `path` is one of a subresource. */
  apply<Answer extends KubeObject>(path: string, object: KubeObject): Promise<Answer> {
    return this.send({
      method: "PATCH",
      path,
      query: { fieldManager, force: "true" },
      contentType: "application/apply-patch+yaml",
      body: object,
    });
  }

  /** The lines of an answer without an end, as they come. `silence`: milliseconds without a byte after which the connection counts as dead. */
  async *lines({
    silence,
    opened,
    ...asked
  }: KubeRequest & { readonly silence: number; readonly opened: () => void }): AsyncGenerator<string> {
    const answer = await this.#open(asked, { headers: silence, body: silence });
    if (answer.statusCode > 299) throw errorOf(answer.statusCode, await this.#heard(() => answer.body.text()), answer.headers);
    opened();
    const decoder = new TextDecoder();
    const chunks = answer.body[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
    let rest = "";
    try {
      for (;;) {
        const { done, value } = await this.#heard(() => chunks.next());
        if (done === true) return;
        const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
        rest = lines.pop() ?? "";
        yield* lines.filter((line) => line !== "");
      }
    } finally {
      answer.body.destroy();
    }
  }

  async close(): Promise<void> {
    await this.#agent?.agent.destroy();
  }

  async #once<Answer>(asked: KubeRequest, timeout: number): Promise<Answer> {
    const answer = await this.#open(asked, { headers: timeout, body: timeout });
    const text = await this.#heard(() => answer.body.text());
    if (answer.statusCode > 299) throw errorOf(answer.statusCode, text, answer.headers);
    return JSON.parse(text) as Answer;
  }

  async #open(
    { method = "GET", path, query, body, contentType = "application/json", accept = "application/json", signal }: KubeRequest,
    within: { readonly headers: number; readonly body: number },
  ): Promise<Dispatcher.ResponseData> {
    const credentials = await this.#access.credentials();
    return this.#heard(() =>
      request(`${this.#access.server}${path}${query === undefined ? "" : `?${new URLSearchParams(query).toString()}`}`, {
        method,
        headers: {
          accept,
          "user-agent": fieldManager,
          ...(body === undefined ? {} : { "content-type": contentType }),
          ...credentials.headers,
          ...(credentials.authorization === undefined ? {} : { authorization: credentials.authorization }),
        },
        body: body === undefined ? null : JSON.stringify(body),
        headersTimeout: within.headers,
        bodyTimeout: within.body,
        dispatcher: this.#agentFor(credentials),
        ...(signal === undefined ? {} : { signal }),
      }),
    );
  }

  /** A new authority or certificate needs new connections; what goes over the old ones goes on to its end. */
  #agentFor({ tls }: Credentials): Agent {
    const identity = JSON.stringify(tls);
    if (this.#agent?.identity === identity) return this.#agent.agent;
    void this.#agent?.agent.close();
    const given = Object.fromEntries(Object.entries(tls).filter(([, value]) => value !== undefined));
    // One connection a watch: over a shared one they would all fall silent together.
    const agent = new Agent({
      allowH2: false,
      connect: { ...given, timeout: 10_000, keepAlive: true, keepAliveInitialDelay: probeAfter },
    });
    this.#agent = { identity, agent };
    return agent;
  }

  async #heard<T>(ask: () => Promise<T>): Promise<T> {
    try {
      return await ask();
    } catch (cause) {
      throw new KubeError(0, `No answer from the API server at ${this.#access.server}: ${(cause as Error).message}`, { cause });
    }
  }
}
