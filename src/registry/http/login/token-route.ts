// /token: an access token for credentials (distribution spec, "Token Authentication Specification" for GET, "OAuth2" for POST). Whoever shows none
// gets one for what everybody may.
//
// No refresh tokens are given out. docker's `offline_token=true` asks for one and keeps the password where it gets none; one of ours would be a second
// password that nobody wrote into a Secret, and that outlives the first.

import type { IncomingMessage, ServerResponse } from "node:http";

import type { Access } from "../../../domain/access.ts";
import { accessOf, isNobody, type Role } from "../../../domain/control-access.ts";
import { describeIdentity, type Identity } from "../../../domain/identity.ts";
import { grant, mostAnonymousScopes, mostScopes, parseScopes, type AskedScope, type Granted } from "../../../domain/scope.ts";
import type { Logger } from "../../../observability/logger.ts";
import { ServiceError } from "../../services/errors.ts";
import { jsonAnswer, sendWhole, type WholeAnswer } from "../answer.ts";
import type { Caller, Callers } from "./callers.ts";
import { basicChallenge } from "./challenge.ts";
import type { ClientAddress } from "../client-address.ts";
import { describeFailure, HttpError } from "../errors.ts";
import { MemoryBudget } from "../limits/memory-budget.ts";
import { leastUploadRate, readBody, withWholeBody } from "../request-body.ts";
import { sourceOf } from "../limits/sources.ts";
import { refuseEncoding, splitTarget } from "../v2/v2-requests.ts";

/** Milliseconds: a form fits in a packet or two, and what waits for the rest of one keeps a place from others. */
const formTime = 5_000;

export interface TokenRouteOptions {
  readonly callers: Callers;
  readonly access: () => Access;
  /** Resolves when `access` is what a request must see that comes now, or as near as the database's state allows. */
  readonly confirm: () => Promise<void>;
  /** The full name of what a path names, undefined where nobody serves it. */
  readonly nameOf: (repository: string) => string | undefined;
  /** Undefined: there is nothing to sign with. `TooLong`: no header would take the token. */
  readonly issue: (content: {
    readonly identity: Exclude<Identity, { kind: "admin" }>;
    readonly granted: Granted;
    readonly credential?: string;
  }) => Promise<{ readonly token: string; readonly expiresIn: number; readonly issuedAt: Date } | "TooLong" | undefined>;
  /** What clients call this registry: the host of `externalURL`. */
  readonly service: string;
  readonly clientAddress: ClientAddress;
  readonly logger: Logger;
  readonly metrics: TokenMetrics;
  /** Milliseconds. */
  readonly stallTimeout: number;
}

export interface TokenMetrics {
  tokenGranted(identity: Identity["kind"]): void;
  tokenRefused(reason: TokenRefusal): void;
}

/** `credentials` at /token; `invalid_token` and `insufficient_scope` where one is shown. */
export type TokenRefusal = "credentials" | "slowed" | "unavailable" | "request" | "denied" | "invalid_token" | "insufficient_scope";

/** Of a form, bytes: tokens of clusters are passwords here. */
const mostOfForm = 32 * 1024;
const methods = ["GET", "HEAD", "POST"];

interface Asked {
  readonly caller: Caller;
  readonly parameters: URLSearchParams;
  readonly source: string;
}

export class TokenRoute {
  readonly #options: TokenRouteOptions;
  /** Of all who send one at the same time, bytes. */
  readonly #forms = new MemoryBudget({
    most: 4 * 1024 * 1024,
    words: {
      ofSender: "You are asking for too many tokens at once. Ask again when others have come.",
      ofAll: "Too many tokens are being asked for at once. Ask again in a moment.",
    },
  });

  constructor(options: TokenRouteOptions) {
    this.#options = options;
  }

  /** Answers one request; never rejects. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const answer = await this.#answer(request, response).catch((error: unknown) => this.#refuse(error));
    await sendWhole(request, response, answer, this.#options).catch(() => response.destroy());
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<WholeAnswer> {
    const { method = "" } = request;
    if (!methods.includes(method)) {
      throw new HttpError("METHOD_NOT_ALLOWED", `${method} is not possible here.`, { allow: methods.join(", ") });
    }
    refuseEncoding(request);
    const source = this.#options.clientAddress(request);
    if (method !== "POST") {
      const { query } = splitTarget(request.url ?? "");
      this.#checkService(query);
      const caller = await this.#options.callers.know({ authorization: request.headers.authorization, source });
      const { scope: _, ...answer } = await this.#give({ caller, parameters: query, source });
      return tokenAnswer({ token: answer.access_token, ...answer });
    }
    const form = await this.#form(request, response, source);
    this.#checkService(form);
    return tokenAnswer(await this.#give({ caller: await this.#login(form, source), parameters: form, source }));
  }

  async #form(request: IncomingMessage, response: ServerResponse, source: string): Promise<URLSearchParams> {
    const [type = ""] = (request.headers["content-type"] ?? "").split(";", 1);
    if (type.trim().toLowerCase() !== "application/x-www-form-urlencoded")
      throw new HttpError("CONTENT_ENCODING", "Send the form as application/x-www-form-urlencoded.");
    const stallTimeout = Math.min(this.#options.stallTimeout, formTime);
    const limits = { stallTimeout, leastRate: leastUploadRate.leastRate, rateWindow: formTime, stalled: "REQUEST_STALLED" } as const;
    const body = { chunks: readBody(request, response, limits), limit: mostOfForm, sender: sourceOf(source) };
    const text = await withWholeBody(body, async (bytes) => Buffer.from(bytes).toString("utf8"), this.#forms);
    if (text === undefined) throw new HttpError("REQUEST_TOO_LARGE", `The form has more than ${mostOfForm} bytes.`);
    return new URLSearchParams(text);
  }

  async #login(form: URLSearchParams, source: string): Promise<Caller> {
    const { callers } = this.#options;
    switch (form.get("grant_type") ?? "") {
      case "password":
        return callers.login({ name: form.get("username") ?? "", password: form.get("password") ?? "", source });
      // What clients keep as an identity token comes like this: the token of a ServiceAccount may.
      case "refresh_token": {
        const token = form.get("refresh_token") ?? "";
        if (token === "") throw new OAuthError("invalid_request", "A refresh_token is missing.");
        return callers.know({ authorization: `Bearer ${token}`, source });
      }
      default:
        throw new OAuthError("unsupported_grant_type", "grant_type is password, or refresh_token with the token of a ServiceAccount.");
    }
  }

  async #give({ caller, parameters, source }: Asked): Promise<{
    readonly access_token: string;
    readonly scope: string;
    readonly expires_in: number;
    readonly issued_at: string;
  }> {
    const { access, confirm, nameOf, issue, logger, metrics } = this.#options;
    const { identity, role, credential } = caller;
    if (identity.kind === "admin") throw new OAuthError("invalid_request", "The admin token is no login: show it as Bearer itself.");
    const asked = scopesOf(role, parameters);
    await confirm();
    const { granted, scope } = await grant(asked, { identity, access: accessOf(role, access()), nameOf });
    const issued = await issue({ identity, granted, ...(credential === undefined ? {} : { credential }) });
    if (issued === undefined) throw new ServiceError("UNAVAILABLE", "The registry has no key to sign tokens with; its log says why.");
    if (issued === "TooLong")
      throw new OAuthError("invalid_scope", "A token with all of that is longer than a header may be: ask for fewer scopes at once.");
    metrics.tokenGranted(identity.kind);
    if (identity.kind !== "anonymous") logger.info({ event: "login", identity: describeIdentity(identity), scope, source }, "Login");
    return { access_token: issued.token, scope, expires_in: issued.expiresIn, issued_at: issued.issuedAt.toISOString() };
  }

  #checkService(parameters: URLSearchParams): void {
    const { service } = this.#options;
    const asked = parameters.get("service") ?? "";
    if (asked === "" || asked === service) return;
    throw new OAuthError(
      "invalid_request",
      `This is the token service of ${service}, and no other's: ask with service=${service}, as the challenge says.`,
    );
  }

  #refuse(error: unknown): WholeAnswer {
    const { logger, metrics } = this.#options;
    const { status, headers, body, unexpected } = describeFailure(error);
    if (unexpected) logger.error({ err: error }, "A request failed");
    metrics.tokenRefused(reasonOf(status));
    const said = body.errors[0]?.message;
    const oauth = error instanceof OAuthError ? error.error : (oauthErrors[status] ?? "invalid_request");
    const challenge = status === 401 ? { "www-authenticate": basicChallenge } : {};
    return jsonAnswer({ error: oauth, error_description: said, ...body }, { status, headers: { ...headers, ...challenge, ...notKept } });
  }
}

/** RFC 6749, 5.2. */
class OAuthError extends ServiceError {
  readonly error: "invalid_request" | "unsupported_grant_type" | "invalid_scope";

  constructor(error: "invalid_request" | "unsupported_grant_type" | "invalid_scope", message: string) {
    super("INVALID", message);
    this.error = error;
  }
}

const oauthErrors: Readonly<Record<number, string>> = {
  401: "invalid_grant",
  403: "access_denied",
  429: "slow_down",
  500: "server_error",
  503: "temporarily_unavailable",
};

/** Throws OAuthError. */
function scopesOf(role: Role, parameters: URLSearchParams): readonly AskedScope[] {
  const stranger = isNobody(role);
  const most = stranger ? mostAnonymousScopes : mostScopes;
  const asked = parseScopes(parameters.getAll("scope"), most);
  if (asked !== undefined) return asked;
  const help = stranger ? `, which is as many as there are without a login: log in, or ask for fewer` : ": ask for fewer";
  throw new OAuthError("invalid_scope", `More than ${most} scopes are asked for at once${help}.`);
}

const notKept = { "cache-control": "no-store" } as const;

function tokenAnswer(body: unknown): WholeAnswer {
  return jsonAnswer(body, { headers: notKept });
}

function reasonOf(status: number): TokenRefusal {
  if (status === 401) return "credentials";
  if (status === 403) return "denied";
  if (status === 429) return "slowed";
  return status >= 500 ? "unavailable" : "request";
}
