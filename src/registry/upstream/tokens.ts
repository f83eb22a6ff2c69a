// Answers to challenges: Basic, and Bearer tokens cached by scope, refreshed before they run out, fetched once for all who wait
// (distribution's token specification; the realm rule is EgressPolicy.checkRealm).

import { LRUCache } from "lru-cache";

import type { Login } from "../../domain/registry-login.ts";
import type { Challenge } from "./challenge.ts";
import type { EgressPolicy } from "./egress.ts";
import { UpstreamError } from "./errors.ts";
import { readWhole, type Answer, type Exchange } from "./exchange.ts";
import { Hidden } from "./hidden.ts";
import { settingNames, type UpstreamTarget } from "./target.ts";

export type Send = (exchange: Exchange) => Promise<Answer>;

/** Of a token that states no lifetime, seconds (token specification: at least 60). */
const defaultLifetime = 60;
const maxLifetime = 3600;
/** Share of its life after which a token is replaced. */
const refreshAfter = 0.75;
const maxTokenAnswer = 1024 * 1024;

interface Token {
  readonly authorization: Hidden<string>;
  readonly refreshAt: number;
  readonly expiresAt: number;
}

interface Ask {
  readonly realm: URL;
  readonly service: string | undefined;
  readonly scope: string;
}

export class TokenCache {
  readonly #target: UpstreamTarget;
  readonly #egress: EgressPolicy;
  readonly #send: Send;
  readonly #now: () => number;
  readonly #asks = new LRUCache<string, Ask>({ max: 10_000 });
  readonly #tokens = new LRUCache<string, Token>({ max: 2_000 });
  readonly #pending = new Map<string, Promise<Token>>();
  #basic = false;

  constructor(options: { target: UpstreamTarget; egress: EgressPolicy; send: Send; now: () => number }) {
    this.#target = options.target;
    this.#egress = options.egress;
    this.#send = options.send;
    this.#now = options.now;
  }

  /** What to send at once for this repository (`""`: the base); undefined while nothing is known. */
  async known(repository: string): Promise<Hidden<string> | undefined> {
    if (this.#basic) return this.#basicAuthorization();
    const ask = this.#asks.get(repository);
    if (ask === undefined) return undefined;
    const token = this.#tokens.get(ask.scope);
    if (token !== undefined && this.#now() < token.refreshAt) return token.authorization;
    try {
      return (await this.#fetchOnce(ask)).authorization;
    } catch (error) {
      if (token !== undefined && this.#now() < token.expiresAt) return token.authorization;
      throw error;
    }
  }

  /** Answers a 401; `loginOnly`: with a token for no repository. Undefined when nothing we have answers it. Rejects with UpstreamError. */
  async answer(
    repository: string,
    challenges: readonly Challenge[],
    { loginOnly = false }: { readonly loginOnly?: boolean } = {},
  ): Promise<Hidden<string> | undefined> {
    const bearer = challenges.find(({ scheme, parameters }) => scheme === "bearer" && parameters["realm"] !== undefined);
    if (bearer !== undefined) {
      const ask = { ...this.#read(repository, bearer), ...(loginOnly ? { scope: "" } : {}) };
      this.#asks.set(repository, ask);
      this.#tokens.delete(ask.scope); // what was sent, if anything, was refused
      return (await this.#fetchOnce(ask)).authorization;
    }
    if (!challenges.some(({ scheme }) => scheme === "basic")) return undefined;
    const authorization = this.#basicAuthorization();
    this.#basic = authorization !== undefined;
    return authorization;
  }

  #read(repository: string, { parameters }: Challenge): Ask {
    const realm = URL.parse(parameters["realm"] ?? "", this.#target.url.href);
    if (realm === null)
      throw new UpstreamError("UnexpectedAnswer", `${this.#target.url.host} asks for a token from an address that is no URL`);
    this.#egress.checkRealm(this.#target, realm);
    const stated = parameters["scope"] ?? "";
    return { realm, service: parameters["service"], scope: stated === "" && repository !== "" ? `repository:${repository}:pull` : stated };
  }

  #fetchOnce(ask: Ask): Promise<Token> {
    const running = this.#pending.get(ask.scope);
    if (running !== undefined) return running;
    const fetching = this.#request(ask).finally(() => this.#pending.delete(ask.scope));
    this.#pending.set(ask.scope, fetching);
    return fetching;
  }

  async #request(ask: Ask): Promise<Token> {
    this.#egress.checkRealm(this.#target, ask.realm);
    const started = this.#now();
    const { credentials } = this.#target;
    const login = credentials.state === "loaded" ? credentials.login : undefined;
    const answer = await this.#send(login?.reveal().identityToken === undefined ? basicRequest(ask, login) : refreshRequest(ask, login));
    const body = await readWhole(this.#target, answer, maxTokenAnswer);
    if (answer.status !== 200) throw this.#refused(ask, answer);
    const token = this.#parse(ask, body, started);
    this.#tokens.set(ask.scope, token);
    return token;
  }

  #refused(ask: Ask, answer: Answer): UpstreamError {
    const { status } = answer;
    if (status === 429) return new UpstreamError("RateLimited", `${ask.realm.host} answers 429 to the request for a token`);
    if (status >= 500) return new UpstreamError("ServerError", `${ask.realm.host} answers ${status} to the request for a token`);
    const who =
      this.#target.credentials.state === "loaded" ? `the login of ${settingNames(this.#target).credentials}` : "an anonymous request";
    return new UpstreamError("Denied", `${ask.realm.host} gives no token to ${who} (${status})`);
  }

  #parse(ask: Ask, body: Buffer, started: number): Token {
    let parsed: { token?: unknown; access_token?: unknown; expires_in?: unknown } | null;
    try {
      parsed = JSON.parse(body.toString("utf8")) as typeof parsed;
    } catch {
      throw new UpstreamError("UnexpectedAnswer", `${ask.realm.host} answers the request for a token with something that is not JSON`);
    }
    const value = [parsed?.token, parsed?.access_token].find((text) => typeof text === "string" && text !== "");
    // A header is made of it, so only what a header may hold.
    if (typeof value !== "string" || !/^[\x21-\x7e]+$/.test(value)) {
      throw new UpstreamError("UnexpectedAnswer", `${ask.realm.host} answers the request for a token without a token`);
    }
    // Seen in the wild: a 200 whose token says that the login was wrong.
    if (value === "unauthenticated")
      throw new UpstreamError("Denied", `${ask.realm.host} does not accept the login of ${settingNames(this.#target).credentials}`);
    const stated = typeof parsed?.expires_in === "number" && parsed.expires_in > 0 ? parsed.expires_in : defaultLifetime;
    const lifetime = Math.min(stated, maxLifetime) * 1000;
    // Our own clock from before the request: `issued_at` is the clock of somebody else.
    return {
      authorization: new Hidden(`Bearer ${value}`),
      refreshAt: started + lifetime * refreshAfter,
      expiresAt: started + lifetime,
    };
  }

  #basicAuthorization(): Hidden<string> | undefined {
    const { credentials } = this.#target;
    return credentials.state === "loaded" ? basic(credentials.login) : undefined;
  }
}

function basic(login: Hidden<Login>): Hidden<string> {
  const { username, password } = login.reveal();
  return new Hidden(`Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`);
}

function basicRequest(ask: Ask, login: Hidden<Login> | undefined): Exchange {
  const url = new URL(ask.realm);
  if (ask.service !== undefined) url.searchParams.set("service", ask.service);
  for (const scope of ask.scope.split(" ").filter((part) => part !== "")) url.searchParams.append("scope", scope);
  return { method: "GET", url, headers: { accept: "application/json" }, ...(login === undefined ? {} : { authorization: basic(login) }) };
}

/** OAuth2: the identity token is a refresh token (distribution, "Authenticate with a refresh token"). */
function refreshRequest(ask: Ask, login: Hidden<Login> | undefined): Exchange {
  const form = new URLSearchParams({ grant_type: "refresh_token", client_id: "wharfinger", scope: ask.scope });
  if (ask.service !== undefined) form.set("service", ask.service);
  form.set("refresh_token", login?.reveal().identityToken ?? "");
  return {
    method: "POST",
    url: ask.realm,
    headers: { accept: "application/json", "content-type": "application/x-www-form-urlencoded" },
    body: new Hidden(form.toString()),
  };
}
