// The control API, /api/v1: JSON for operator, jobs, reporters, CLI and pages. Every route needs somebody who showed who he is; what else it
// needs, its row says.

import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { Type, type TSchema } from "typebox";

import type { Access } from "../../../domain/access.ts";
import { describeIdentity } from "../../../domain/identity.ts";
import { accessOf, mayCall, mayTry, readsAll, type Right } from "../../../domain/control-access.ts";
import type { Logger } from "../../../observability/logger.ts";
import { ServiceError } from "../../services/errors.ts";
import type { Writability } from "../../services/upkeep/writability.ts";
import { jsonAnswer } from "../answer.ts";
import type { Caller, Callers } from "../login/callers.ts";
import type { ClientAddress } from "../client-address.ts";
import type { ControlServices, Patience } from "./control-ports.ts";
import { controlRoutes } from "./control-routes.ts";
import type { ControlRequest, ControlRoute } from "./route.ts";
import { strangerRefused } from "../login/strangers.ts";
import { replyLines, replyWhole, watchedBody } from "../reply.ts";

export interface ControlOptions {
  readonly services: ControlServices;
  readonly callers: Callers;
  readonly clientAddress: ClientAddress;
  readonly writability: Writability;
  readonly access: () => Access;
  /** Resolves when `access` is what a request must see that comes now. */
  readonly confirm: () => Promise<void>;
  readonly nameOf: (repository: string) => string | undefined;
  readonly logger: Logger;
  /** Milliseconds without a byte after which a body, in either direction, is given up. */
  readonly stallTimeout: number;
  /** Aborted when the process stops: long polls end. */
  readonly stopping: AbortSignal;
}

/** Longest time an answer is held back, seconds. */
export const longestWait = 60;
const wait = Type.String({ pattern: "^[0-9]{1,4}$", description: `seconds, at most ${longestWait}` });

declare module "fastify" {
  interface FastifyRequest {
    wharfingerCaller?: Caller;
  }
}

export function registerControl(app: FastifyInstance, options: ControlOptions): void {
  app.decorateRequest("wharfingerCaller");
  for (const route of controlRoutes) {
    app.route({
      method: route.method,
      url: fastifyUrl(route.path),
      ...(route.bodyLimit === undefined ? {} : { bodyLimit: route.bodyLimit }),
      schema: {
        ...(route.body === undefined ? {} : { body: route.body }),
        ...queryOf(route),
      },
      // Before the body is read: a stranger's megabytes are not parsed.
      onRequest: async (request) => admit(request, route, options),
      preParsing: async (request, reply, body) => (route.body === undefined ? body : watchedBody(request, reply, options.stallTimeout)),
      handler: async (request, reply) => serve(request, reply, route, options),
    });
  }
}

function queryOf({ query, waits }: ControlRoute): { querystring: TSchema } | undefined {
  if (query === undefined && waits !== true) return undefined;
  return { querystring: Type.Partial(Type.Object({ ...query, ...(waits === true ? { wait } : {}) })) };
}

/** `runs/{id}` → `/api/v1/runs/:id`; a repository is the rest of the path. */
export function fastifyUrl(path: string): string {
  return `/api/v1/${path.replace(/\{repository\}$/, "*").replaceAll(/\{(\w+)\}/g, ":$1")}`;
}

async function admit(request: FastifyRequest, route: ControlRoute, options: ControlOptions): Promise<void> {
  const source = options.clientAddress(request.raw);
  const caller = await know(request, options);
  if (caller.role.kind === "anonymous") {
    throw new ServiceError("UNAUTHORIZED", "The control API needs a token (Authorization: Bearer …) or a user.");
  }
  if (!mayTry(caller.role, route.who)) throw denied(caller, route, source, options.logger);
  const { writes = route.method === "GET" ? "Nothing" : "Add" } = route;
  const refused = writes === "Nothing" ? undefined : await options.writability.refusal(writes);
  if (refused !== undefined) throw refused;
  request.wharfingerCaller = caller;
}

function denied({ identity, role }: Caller, { method, path, who }: ControlRoute, source: string, logger: Logger): ServiceError {
  logger.info({ event: "refusal", identity: describeIdentity(identity), action: `${method} ${path}`, source }, "Refused");
  return role.kind === "stranger" ? strangerRefused(identity) : new ServiceError("DENIED", needed[who]);
}

const needed: Readonly<Record<Right, string>> = {
  admin: "This needs an administrator: the admin token, or who is named in the setting access.admins.",
  reader: "This needs a token or a user.",
  operator: "This is for the operator, the ServiceAccount of the setting access.operator, and for administrators.",
  run: "This is for the run that it is about, for the operator and for administrators.",
  proposal: "This is for the runs of a policy, for the operator and for administrators.",
  "tag-sync": "This is for tag-sync runs, each for its own policy, and for administrators.",
  prune: "This is for prune runs, each for its own policy and with no other approval than its own, and for administrators.",
  reporter: "This is for the reporter of this cluster, the ServiceAccount of its entry in the setting clusters, and for administrators.",
};

async function serve(request: FastifyRequest, reply: FastifyReply, route: ControlRoute, options: ControlOptions): Promise<void> {
  const caller = await callerNow(request, route, options);
  const { identity, role } = caller;
  const all = readsAll(role);
  if (!all) await options.confirm();
  const control: ControlRequest = {
    parameters: parametersOf(request, route),
    query: chosen(request.query as Record<string, string>, route),
    body: request.body,
    caller: role.kind === "run" ? `run:${role.run.id}` : describeIdentity(identity),
    role,
    mayPull: (repository) => all || accessOf(role, options.access()).may(identity, "pull", repository),
    nameOf: options.nameOf,
    patience: patienceOf(request, reply, options.stopping),
  };
  if (!mayCall(role, route.who, route.about?.(control) ?? {})) {
    throw denied(caller, route, options.clientAddress(request.raw), options.logger);
  }
  const answer = await route.handle(control, options.services);
  if (route.lines === true) await replyLines(reply, answer as AsyncIterable<unknown>, options);
  else await replyWhole(request, reply, jsonAnswer(answer), options);
}

/** The body of a job may come slowly, and its run end before it does: then its token is good for nothing any more. */
async function callerNow(request: FastifyRequest, { body }: ControlRoute, options: ControlOptions): Promise<Caller> {
  const admitted = request.wharfingerCaller;
  if (admitted !== undefined && (admitted.role.kind !== "run" || body === undefined)) return admitted;
  return know(request, options);
}

function know(request: FastifyRequest, { callers, clientAddress }: ControlOptions): Promise<Caller> {
  return callers.know({ authorization: request.headers.authorization, source: clientAddress(request.raw) });
}

/** Without what nobody asked for: a row of the table names what its route takes. */
function chosen(query: Readonly<Record<string, string>>, { query: known = {} }: ControlRoute): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(query).filter(([name]) => Object.hasOwn(known, name)));
}

function parametersOf(request: FastifyRequest, route: ControlRoute): Readonly<Record<string, string>> {
  const parameters = request.params as Record<string, string>;
  return route.path.endsWith("{repository}") ? { repository: parameters["*"] ?? "" } : parameters;
}

function patienceOf(request: FastifyRequest, reply: FastifyReply, stopping: AbortSignal): Patience {
  const { wait = "0" } = request.query as { wait?: string };
  const gone = new AbortController();
  reply.raw.once("close", () => gone.abort());
  return { waitSeconds: Math.min(Number(wait) || 0, longestWait), signal: AbortSignal.any([gone.signal, stopping]) };
}
