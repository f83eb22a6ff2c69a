// Everything under /v2, in the order in which a request is judged: path, encoding, method, whose repository, who asks, may they; then one
// route calls one service.

import type { IncomingMessage, ServerResponse } from "node:http";

import { runHeader } from "../../../api/control/protocol.ts";
import type { Access, Action } from "../../../domain/access.ts";
import { describeIdentity } from "../../../domain/identity.ts";
import { accessOf, mayRevalidate } from "../../../domain/control-access.ts";
import { headers } from "../../../domain/media-types.ts";
import { limitedTo } from "../../../domain/scope.ts";
import { parseV2Path, type V2Path, type V2PathProblem } from "../../../domain/v2-path.ts";
import type { Logger } from "../../../observability/logger.ts";
import { ServiceError } from "../../services/errors.ts";
import type { PushService } from "../../services/push/push-service.ts";
import type { Writability } from "../../services/upkeep/writability.ts";
import { failureAnswer, jsonAnswer, sendAnswer, type Answer } from "../answer.ts";
import { BearerRefused } from "../login/bearer-refused.ts";
import { BlobBuffers } from "./blob-buffers.ts";
import type { Callers } from "../login/callers.ts";
import type { Challenges } from "../login/challenge.ts";
import type { ClientAddress } from "../client-address.ts";
import { describeFailure, HttpError } from "../errors.ts";
import type { Exchange, NotedChange, PathOf, RepositoryExchange } from "./exchange.ts";
import { listRepositories, listTags, type RepositoryNames } from "./listing-routes.ts";
import { getBlob, getManifest, getReferrers } from "./pull-routes.ts";
import { PushRoutes } from "./push-routes.ts";
import type { Pressure } from "../limits/pressure.ts";
import type { Repositories, Repository } from "./repositories.ts";
import { declaredLength, leastUploadRate, readBody } from "../request-body.ts";
import type { ScannerTest } from "./scanners.ts";
import { strangerRefused } from "../login/strangers.ts";
import type { Transfers } from "../limits/transfers.ts";
import { insufficient, problem, refusal, unknownName } from "./v2-refusals.ts";
import {
  actionOf,
  asksAnew,
  beginsWork,
  handlerNames,
  isByDigest,
  isTransfer,
  methods,
  refuseEncoding,
  runOf,
  scopeOf,
  senderOf,
  splitTarget,
  type RepositoryPath,
} from "./v2-requests.ts";

export interface V2Options {
  readonly repositories: Repositories;
  readonly push: PushService;
  readonly catalog: RepositoryNames;
  readonly callers: Callers;
  readonly challenges: Pick<Challenges, "for">;
  readonly access: () => Access;
  /** Resolves when `repositories` and `access` are what a request must see that comes now. `evenOld`: rather than that it fails. */
  readonly confirm: (options: { readonly evenOld: boolean }) => Promise<void>;
  /** Milliseconds without a byte after which a body, in either direction, is given up. */
  readonly stallTimeout: number;
  /** Address of the client, behind whatever proxies. */
  readonly clientAddress: ClientAddress;
  readonly transfers: Transfers;
  readonly pressure: Pressure;
  readonly writability: Writability;
  readonly isScanner: ScannerTest;
  /** Nobody pushes, so that nobody's HEAD raises a lease. */
  readonly readOnly?: boolean;
  readonly logger: Logger;
  /** A token was shown that is not good for what was asked. */
  readonly onTokenRefused?: (reason: BearerRefused["error"]) => void;
  /** A manifest was pushed, or something deleted: for the history that people read. */
  readonly onChange?: (change: Change) => void;
  readonly onAnswer?: (answer: {
    readonly handler: string;
    readonly method: string;
    readonly status: number;
    readonly seconds: number;
  }) => void;
}

export interface Change {
  readonly identity: string;
  readonly action: "push" | "delete";
  readonly repository: string;
  readonly reference: string;
  readonly detail?: unknown;
}

export class V2 {
  readonly #options: V2Options;
  readonly #pushes: PushRoutes;
  readonly #buffers = new BlobBuffers();

  constructor(options: V2Options) {
    this.#options = options;
    this.#pushes = new PushRoutes({ push: options.push, nameOf: (name) => options.repositories.find(name, undefined)?.name });
  }

  /** Answers one request; never rejects. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const started = performance.now();
    const { path: target, query } = splitTarget(request.url ?? "/");
    const path = parseV2Path(target);
    response.once("close", () => {
      const seconds = (performance.now() - started) / 1000;
      this.#options.onAnswer?.({ handler: handlerNames[path.kind], method: request.method ?? "", status: response.statusCode, seconds });
    });
    const needs: Needs = {};
    const onStall = () => this.#options.logger.info({ path: target }, "A client took nothing any more");
    const sending = { buffers: this.#buffers, stallTimeout: this.#options.stallTimeout, onStall };
    try {
      await sendAnswer(request, response, await this.#answer(request, response, { path, query, needs }), sending);
    } catch (error) {
      if (response.headersSent || response.destroyed) {
        this.#options.logger.debug({ error: (error as Error).message, path: target }, "The connection was lost");
        response.destroy();
        return;
      }
      await sendAnswer(request, response, this.#refuse(error, request, { path: target, needs }), sending);
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse, { path, query, needs }: Target): Promise<Answer> {
    if (path.kind === "invalid") throw problem(path);
    const method = request.method ?? "";
    refuseEncoding(request);
    if (!methods[path.kind].includes(method)) {
      throw new HttpError("METHOD_NOT_ALLOWED", `${method} is not possible here.`, { allow: methods[path.kind].join(", ") });
    }
    if (path.kind !== "base") await this.#options.confirm({ evenOld: isByDigest(path, method) });
    const namespace = query.get("ns") ?? undefined;
    const repository = "name" in path ? this.#find(path.name, namespace) : undefined;
    // With `ns` the path is of another registry; what a token opens is named as here.
    needs.scope = scopeOf(path, method, { name: namespace === undefined ? undefined : repository?.name, from: query });
    const { authorization } = request.headers;
    const source = this.#options.clientAddress(request);
    const { identity, role, granted } = await this.#options.callers.knowBearer({ authorization, source });
    const rights = accessOf(role, this.#options.access());
    const access = limitedTo(rights, granted);
    const exchange: Exchange = {
      method,
      path,
      query,
      headers: request.headers,
      identity,
      role,
      granted,
      rights,
      access,
      sender: senderOf({ identity, role }, source),
      length: declaredLength(request),
      gone: () => closing(response),
      whenOver: (work) => void (response.destroyed ? work() : response.once("close", work)),
      body: (limits) => readBody(request, response, { stallTimeout: this.#options.stallTimeout, ...leastUploadRate, ...limits }),
    };
    if (path.kind === "base") return this.#base(exchange, authorization !== undefined);
    if (path.kind === "catalog" && granted?.catalog === false && !rights.open) throw insufficient("list the repositories");
    if (path.kind === "catalog") this.#options.pressure.refuse({ asksDatabase: true, bytes: false });
    if (path.kind === "catalog") return listRepositories(exchange, this.#options.catalog, this.#list(exchange));
    if (repository === undefined) return this.#nowhere({ ...exchange, path }, source);
    const answer = await this.#inRepository({ ...exchange, path }, repository, source);
    return namespace === undefined ? answer : { ...answer, headers: { ...answer.headers, [headers.ociNamespace]: namespace } };
  }

  /**
   * A name under an Upstream's prefix that its filter leaves out, or the prefix alone. Who may not pull there hears what any other name is
   * answered with, and does not learn that the prefix is one.
   */
  #nowhere(exchange: Exchange<RepositoryPath>, source: string): Answer {
    const { identity, rights, path, method } = exchange;
    if (rights.may(identity, "pull", path.name)) throw unknownName();
    return this.#forbid(exchange, { action: actionOf(path.kind, method), repository: path.name, source });
  }

  /** With `ns` an unknown host is answered at once, so that the node asks elsewhere. */
  #find(name: string, namespace: string | undefined): Repository | undefined {
    const repository = this.#options.repositories.find(name, namespace);
    if (repository === undefined && namespace !== undefined) throw unknownName();
    return repository;
  }

  #base({ identity, role, granted, rights }: Exchange, showedCredentials: boolean): Answer {
    if (role.kind === "stranger") throw strangerRefused(identity);
    // Docker's and podman's clients show credentials later only if this answer asked for them; who shows a token has been asked.
    const logins = granted === undefined && (this.#options.callers.hasUsers() || rights.namesSomebody);
    const welcome = identity.kind !== "anonymous" || rights.open || (rights.anonymousMayPull && !logins);
    if (!welcome) throw new ServiceError("UNAUTHORIZED", "Log in with a user of this registry.");
    // A token was a login when it was given out.
    if (showedCredentials && granted === undefined)
      this.#options.logger.info({ event: "login", identity: describeIdentity(identity) }, "Login");
    return jsonAnswer({});
  }

  async #inRepository(exchange: Exchange<RepositoryPath>, repository: Repository, source: string): Promise<Answer> {
    const { identity, role, rights, access, path, method } = exchange;
    const action = actionOf(path.kind, method);
    const may = (action: Action) => access.may(identity, action, repository.name);
    const who = describeIdentity(identity);
    if (repository.kind === "proxied" && action !== "pull" && rights.may(identity, "pull", repository.name)) {
      throw new ServiceError(
        "UNSUPPORTED",
        "This repository is another registry's, served from here: nothing can be pushed to it or deleted from it.",
      );
    }
    if (!rights.may(identity, action, repository.name)) return this.#forbid(exchange, { action, repository: repository.name, source });
    if (!may(action)) throw insufficient(`${action} here`);
    const refused = action === "pull" ? undefined : await this.#options.writability.refusal(action === "push" ? "Add" : "TakeAway");
    if (refused !== undefined) throw refused;
    const run = runOf(role, exchange.headers[runHeader]);
    const caller = {
      identity: run === undefined ? who : `run:${run}`,
      sender: exchange.sender,
      mayPush: repository.kind === "own" && may("push") && this.#options.readOnly !== true,
      scanner: this.#options.isScanner(identity, exchange.headers["user-agent"]),
      revalidate: asksAnew(exchange.headers["cache-control"]) && mayRevalidate(role, repository.name),
    };
    const note = (change: NotedChange) => this.#note(change, { identity: who, repository: repository.name, source });
    const transfer = isTransfer(path.kind, method);
    this.#options.pressure.refuse({ asksDatabase: beginsWork(path.kind, method), bytes: transfer && exchange.length !== 0 });
    if (transfer) exchange.whenOver(this.#options.transfers.begin(exchange.sender));
    const answer = await this.#route({ ...exchange, repository, caller, note });
    if (!transfer && isLong(answer, method)) this.#beginLong(exchange);
    return answer;
  }

  /** A manifest or list of such a size waits for its reader as a blob does. */
  #beginLong(exchange: Exchange): void {
    this.#options.pressure.refuse({ asksDatabase: false, bytes: true });
    exchange.whenOver(this.#options.transfers.begin(exchange.sender));
  }

  /** Told how many bytes a list has. */
  #list(exchange: Exchange): (bytes: number) => void {
    return this.#options.pressure.list(exchange.sender, (work) => exchange.whenOver(work));
  }

  #forbid(exchange: Exchange, refused: { readonly action: Action; readonly repository: string; readonly source: string }): Answer {
    this.#options.logger.info({ event: "refusal", identity: describeIdentity(exchange.identity), ...refused }, "Refused");
    return refusal(exchange, refused.action);
  }

  #note(change: NotedChange, where: { readonly identity: string; readonly repository: string; readonly source: string }): void {
    const { event, what, reference, digest, tags } = change;
    this.#options.logger.info({ ...change, ...where }, event === "push" ? "Pushed" : "Deleted");
    // The blobs of a push are no history: its manifest is.
    if (event === "push" && what === "blob") return;
    const { identity, repository } = where;
    const detail = digest === undefined ? {} : { detail: { digest, tags } };
    this.#options.onChange?.({ identity, action: event, repository, reference, ...detail });
  }

  #route(exchange: RepositoryExchange<RepositoryPath>): Promise<Answer> {
    const { path, method } = exchange;
    switch (path.kind) {
      case "manifest":
        return this.#manifest({ ...exchange, path });
      case "blob":
        return method === "DELETE" ? this.#pushes.deleteBlob({ ...exchange, path }) : getBlob({ ...exchange, path });
      case "tags":
        return listTags({ ...exchange, path }, this.#list(exchange));
      case "referrers":
        return getReferrers({ ...exchange, path }, this.#list(exchange));
      case "uploads":
        return this.#pushes.startUpload({ ...exchange, path });
      case "upload":
        return this.#upload({ ...exchange, path });
    }
  }

  #manifest(exchange: RepositoryExchange<PathOf<"manifest">>): Promise<Answer> {
    if (exchange.method === "PUT") return this.#pushes.putManifest(exchange);
    return exchange.method === "DELETE" ? this.#pushes.deleteManifest(exchange) : getManifest(exchange);
  }

  #upload(exchange: RepositoryExchange<PathOf<"upload">>): Promise<Answer> {
    switch (exchange.method) {
      case "PATCH":
        return this.#pushes.appendChunk(exchange);
      case "PUT":
        return this.#pushes.completeUpload(exchange);
      case "DELETE":
        return this.#pushes.cancelUpload(exchange);
      default:
        return this.#pushes.uploadStatus(exchange);
    }
  }

  #refuse(error: unknown, request: IncomingMessage, { path, needs }: { readonly path: string; readonly needs: Needs }): Answer {
    if (describeFailure(error).unexpected) this.#options.logger.error({ err: error, path }, "A request failed");
    const reason = error instanceof BearerRefused ? error.error : undefined;
    if (reason !== undefined) this.#options.onTokenRefused?.(reason);
    // Whether a repository is unknown or hidden, its refusal reads the same.
    const shown = error instanceof ServiceError && error.code === "NAME_UNKNOWN" ? unknownName() : error;
    const answer = failureAnswer(shown);
    if (answer.status !== 401) return answer;
    const challenge = this.#options.challenges.for(request, { scope: needs.scope, error: reason });
    return { ...answer, headers: { ...answer.headers, "www-authenticate": challenge } };
  }
}

/** What a request needs, as far as it was judged. */
interface Needs {
  scope?: string | undefined;
}

interface Target {
  readonly path: V2Path | V2PathProblem;
  readonly query: URLSearchParams;
  readonly needs: Needs;
}

/** Bytes of an answer in memory beyond which it is a transfer: as much as a download has on its way. */
const longAnswer = 256 * 1024;

function isLong({ body }: Answer, method: string): boolean {
  return body instanceof Uint8Array && body.byteLength > longAnswer && method !== "HEAD";
}

function closing(response: ServerResponse): AbortSignal {
  const gone = new AbortController();
  if (response.destroyed) gone.abort();
  else response.once("close", () => gone.abort());
  return gone.signal;
}
