// An authorized request to one Upstream: circuit, budget, credentials, and one reading of the status for everybody.

import type { Agent } from "undici";

import { readRetryAfter } from "../../domain/retry-after.ts";
import { RateBudget, type Priority } from "./budget.ts";
import { parseChallenges } from "./challenge.ts";
import { Circuit } from "./circuit.ts";
import { createAgent } from "./connector.ts";
import type { EgressPolicy } from "./egress.ts";
import { UpstreamError } from "./errors.ts";
import { discard, exchange, type Answer } from "./exchange.ts";
import { loginRefused, notAsked, unreachable, type Health } from "./health.ts";
import type { RateLimit } from "./rate-limit.ts";
import { settingNames, type UpstreamTarget } from "./target.ts";
import { TokenCache } from "./tokens.ts";

export interface UpstreamRequest {
  readonly method: "GET" | "HEAD";
  /** For the scope of the token; `""` for the base. */
  readonly repository: string;
  /** Path and query, from `/`. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly priority: Priority;
  /**
   * Whether the login is good, and for no repository: what a challenge says of a scope does not count (ghcr.io names one that nobody has), nor what
   * is known from before.
   */
  readonly loginOnly?: boolean;
}

/** Codes that say something about the upstream's health; the others are about one piece of content or about us. */
const unhealthy: ReadonlySet<string> = new Set(["Unreachable", "Timeout", "ServerError", "Truncated"]);

export class Requester {
  readonly target: UpstreamTarget;
  readonly #egress: EgressPolicy;
  readonly #agent: Agent;
  readonly #tokens: TokenCache;
  readonly #budget: RateBudget;
  readonly #circuit: Circuit;
  readonly #now: () => number;
  /** The last failure that the circuit counts. Not `health`: that may be a refusal which clients are not told. */
  #trouble = "";
  #health: Health = notAsked;
  /** By the last probe. That a repository is refused, or nothing answers, does not make the login good. */
  #loginRefused: Health | undefined;

  constructor(options: { target: UpstreamTarget; egress: EgressPolicy; now?: () => number }) {
    this.target = options.target;
    this.#egress = options.egress;
    this.#now = options.now ?? Date.now;
    this.#agent = createAgent(options.target, options.egress);
    this.#budget = new RateBudget(options.target, { now: this.#now });
    this.#circuit = new Circuit({ now: this.#now });
    this.#tokens = new TokenCache({
      target: options.target,
      egress: options.egress,
      send: (request) => exchange(options.target, options.egress, this.#agent, request),
      now: this.#now,
    });
  }

  /** Resolves for 2xx, 3xx and 4xx other than 401, 403 and 429; the body must be read or discarded. Rejects with UpstreamError. */
  async request(request: UpstreamRequest): Promise<Answer> {
    this.#checkCredentials();
    await this.#budget.admit(request.priority);
    const wait = this.#circuit.admit();
    if (wait > 0) {
      throw new UpstreamError("CircuitOpen", `${this.target.url.host} failed repeatedly (${this.#trouble}); it is asked again shortly`, {
        retryAfter: Math.ceil(wait / 1000),
      });
    }
    try {
      const answer = await this.#authorized(request);
      this.#judge(request, answer);
      this.#loginRefused = undefined;
      this.#note("answers");
      return answer;
    } catch (error) {
      this.#failed(error);
      throw error;
    }
  }

  /** Asks for the base of the API (distribution spec, end-1). What comes of it is the health. Never rejects. */
  async probe(): Promise<void> {
    try {
      discard((await this.request({ method: "GET", repository: "", path: "/v2/", priority: "probe", loginOnly: true })).body);
    } catch (error) {
      // Anonymously it may still give what is public.
      if (error instanceof UpstreamError && error.code === "Denied" && this.target.credentials.state === "loaded")
        this.#loginRefused = loginRefused(error, this.#now());
    }
  }

  get health(): Health {
    return this.#health.reachable === true ? (this.#loginRefused ?? this.#health) : this.#health;
  }

  get rateLimit(): RateLimit | undefined {
    return this.#budget.current();
  }

  get blockedUntil(): number | undefined {
    return this.#budget.blockedUntil();
  }

  /** Lets running transfers end; for a client that another one replaces. */
  async retire(): Promise<void> {
    await this.#agent.close();
  }

  /** Ends running transfers too. */
  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  async #authorized(request: UpstreamRequest): Promise<Answer> {
    const url = new URL(request.path, this.target.url);
    const send = (authorization: Awaited<ReturnType<TokenCache["known"]>>) =>
      exchange(this.target, this.#egress, this.#agent, {
        method: request.method,
        url,
        ...(request.headers === undefined ? {} : { headers: request.headers }),
        ...(authorization === undefined ? {} : { authorization }),
      });
    const { repository, loginOnly = false } = request;
    const first = await send(loginOnly ? undefined : await this.#tokens.known(repository));
    // Another origin may not ask for credentials: it is not the Upstream.
    if (first.status !== 401 || first.foreign) return first;
    discard(first.body);
    const authorization = await this.#tokens.answer(repository, parseChallenges(first.headers["www-authenticate"]), { loginOnly });
    if (authorization === undefined) throw this.#denied(401, request);
    return send(authorization);
  }

  #judge(request: UpstreamRequest, answer: Answer): void {
    const { status, headers } = answer;
    const pause = this.#budget.learn(status, headers);
    if (status < 400 || (status < 500 && status !== 401 && status !== 403 && status !== 429)) return;
    discard(answer.body);
    const host = this.target.url.host;
    if (pause !== undefined) {
      throw new UpstreamError("RateLimited", `${host} answers 429 (too many requests); ask again in ${pause} s`, { retryAfter: pause });
    }
    if (status < 500) throw this.#denied(status, request);
    const retryAfter = readRetryAfter(headers, this.#now());
    throw new UpstreamError("ServerError", `${host} answers ${status}`, retryAfter === undefined ? {} : { retryAfter });
  }

  #denied(status: number, request: UpstreamRequest): UpstreamError {
    const { credentials } = settingNames(this.target);
    if (request.loginOnly === true && this.target.credentials.state === "loaded")
      return new UpstreamError("Denied", `${this.target.url.host} does not accept the login of ${credentials} (${status})`);
    const what = request.repository === "" ? "the request" : request.repository;
    const hint =
      this.target.credentials.state === "anonymous"
        ? `it does not exist, or it needs credentials (${credentials})`
        : `it does not exist, or the login of ${credentials} may not read it`;
    return new UpstreamError("Denied", `${this.target.url.host} refuses ${what} with ${status}: ${hint}`);
  }

  #checkCredentials(): void {
    const { credentials, key } = this.target;
    if (credentials.state === "invalid") throw new UpstreamError("CredentialsInvalid", `upstream ${key}: ${credentials.message}`);
    if (credentials.state === "notImplemented") throw new UpstreamError("NotImplemented", `upstream ${key}: ${credentials.message}`);
  }

  #failed(error: unknown): void {
    if (!(error instanceof UpstreamError)) return this.#circuit.abandoned();
    if (unhealthy.has(error.code)) {
      this.#circuit.failed();
      this.#trouble = error.message;
      this.#health = unreachable(error, this.#now());
      return;
    }
    if (error.code === "EgressRefused") {
      this.#circuit.abandoned();
      this.#health = unreachable(error, this.#now());
      return;
    }
    this.#note(error.message);
  }

  #note(message: string): void {
    this.#circuit.succeeded();
    this.#health = { reachable: true, message, at: this.#now() };
  }
}
