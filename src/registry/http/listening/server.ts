// A fastify application for what one listener answers (/v2, /api/v1, the probes), with the server settings that a registry needs: framework
// defaults cut long uploads, wait for slow headers and answer in forms that no registry client understands.

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";

import Fastify, { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";

import { limitPipelining } from "../../../listeners/pipelining.ts";
import type { Logger } from "../../../observability/logger.ts";
import { ServiceError } from "../../services/errors.ts";
import { jsonAnswer } from "../answer.ts";
import { answerBadHttp, noSniffing } from "./bad-http.ts";
import type { Certificate } from "./certificate.ts";
import { basicChallenge } from "../login/challenge.ts";
import { shareConnections } from "./connection-places.ts";
import { registerControl, type ControlOptions } from "../control/control.ts";
import { describeFailure, HttpError } from "../errors.ts";
import { reportDropped } from "./listening.ts";
import { registerProbes, type ProbeOptions } from "../probes.ts";
import { replyWhole } from "../reply.ts";
import { createTlsServer } from "./tls-server.ts";
import type { TokenRoute } from "../login/token-route.ts";
import type { V2 } from "../v2/v2.ts";
import { checkVisitor, type VisitorOptions } from "../visitors.ts";

/** What a listener answers; there is nothing where something is left out. */
export interface Answers {
  readonly v2?: V2;
  readonly token?: TokenRoute;
  readonly control?: Omit<ControlOptions, "stallTimeout">;
  readonly probes?: Omit<ProbeOptions, "stallTimeout">;
}

export interface ServerOptions {
  /** Milliseconds without a byte after which a body, in either direction, is given up; those of /v2 have their own. */
  readonly stallTimeout: number;
  readonly visitors: VisitorOptions;
  /** Clients come without a load balancer between. */
  readonly direct: boolean;
  /** Connections open at once; more are closed unheard. */
  readonly connections: number;
  /** Addresses of proxies, each of which stands for many clients. */
  readonly isProxy?: (address: string) => boolean;
  /** Undefined: plain HTTP. */
  readonly certificate: Certificate | undefined;
  readonly logger: Logger;
  /** Milliseconds for the headers of a request, 15 s by default. There is no such limit for bodies: request-body.ts watches them. */
  readonly headersTimeout?: number;
}

const defaultHeadersTimeout = 15_000;
/** Longer than the idle time of common load balancers (GCP: 600 s), so that they close first and no request meets a closing socket. */
const keepAliveBehindBalancers = 620_000;
/** Clients that come directly hold idle connections for nothing. */
const keepAliveDirect = 75_000;
const controlBodyLimit = 1024 * 1024;

const v2Methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];

export function buildServer({ v2, token, control, probes }: Answers, options: ServerOptions): FastifyInstance {
  const { visitors, direct, connections, stallTimeout, certificate, logger, headersTimeout = defaultHeadersTimeout } = options;
  const refusing = { logger, stallTimeout };
  const times = {
    keepAliveTimeout: direct ? keepAliveDirect : keepAliveBehindBalancers,
    requestTimeout: 0,
    headersTimeout,
    connectionsCheckingInterval: headersTimeout / 3,
  };
  const app = Fastify({
    logger: false,
    bodyLimit: controlBodyLimit,
    serverFactory: (handle) => {
      const limited = limitPipelining(handle, (source) =>
        logger.debug({ event: "pipelining-refused", source }, "A connection that asked for too much before it was answered was closed"),
      );
      return certificate === undefined ? createServer(times, limited) : createTlsServer({ certificate, logger }, times, limited);
    },
    trustProxy: false,
    exposeHeadRoutes: true,
    return503OnClosing: false,
    forceCloseConnections: "idle",
    // Nothing that a client sent is repaired: it is right or refused.
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, useDefaults: false, allErrors: true } },
    clientErrorHandler: answerBadHttp,
    frameworkErrors: (error, request, reply) => {
      // No hook ran yet.
      reply.raw.setHeader(...noSniffing);
      // A path that cannot be decoded is refused by the parser of /v2 with its own words.
      if (v2 !== undefined && isV2(request)) void takeOver(request, reply, v2);
      else void refuse(error, request, reply, refusing);
    },
  });
  // Without it the last descriptor goes to a socket, and files and the database are what fails; or the memory does.
  app.server.maxConnections = connections;
  shareConnections(app.server, { most: connections, isProxy: options.isProxy ?? (() => false) });
  reportDropped(app.server, logger);
  // Answered once the caller may write (request-body.ts, control.ts), not before.
  app.server.on("checkContinue", (request: IncomingMessage, response: ServerResponse) => app.server.emit("request", request, response));

  app.addHook("onRequest", async (request, reply) => {
    // On the raw answer: those of /v2 are written without fastify.
    reply.raw.setHeader(...noSniffing);
    checkVisitor(request.raw, visitors);
  });
  app.removeContentTypeParser("text/plain");
  app.setErrorHandler((error: FastifyError, request, reply) => refuse(error, request, reply, refusing));
  app.setNotFoundHandler(async (request, reply) => {
    if (v2 !== undefined && isV2(request)) return takeOver(request, reply, v2);
    // A listener does not tell what others of the process answer.
    const where = v2 === undefined || control === undefined ? "" : ": the registry answers under /v2/ and /api/v1/";
    throw new HttpError("ENDPOINT_UNKNOWN", `There is nothing here${where}.`);
  });
  if (v2 !== undefined) registerV2(app, v2);
  if (token !== undefined) registerToken(app, token);
  if (control !== undefined) registerControl(app, { ...control, stallTimeout });
  if (probes !== undefined) registerProbes(app, { ...probes, stallTimeout });
  return app;
}

function registerV2(app: FastifyInstance, v2: V2): void {
  for (const url of ["/v2", "/v2/*"]) {
    // Taken over before fastify looks at a body: layers are streams of any type.
    app.route({ method: v2Methods, url, onRequest: async (request, reply) => takeOver(request, reply, v2), handler: () => undefined });
  }
}

function registerToken(app: FastifyInstance, token: TokenRoute): void {
  // Likewise: a form is none of the bodies that the control API takes.
  const onRequest = async (request: FastifyRequest, reply: FastifyReply) => {
    reply.hijack();
    await token.handle(request.raw, reply.raw);
  };
  app.route({ method: v2Methods, url: "/token", onRequest, handler: () => undefined });
}

function isV2(request: FastifyRequest): boolean {
  return /^\/v2(?:[/?]|$)/.test(request.raw.url ?? "");
}

async function takeOver(request: FastifyRequest, reply: FastifyReply, v2: V2): Promise<void> {
  reply.hijack();
  await v2.handle(request.raw, reply.raw);
}

async function refuse(
  error: Error,
  request: FastifyRequest,
  reply: FastifyReply,
  { logger, stallTimeout }: { readonly logger: Logger; readonly stallTimeout: number },
): Promise<void> {
  const { status, headers, body, unexpected } = describeFailure(isFastifyError(error) ? translate(error) : error);
  if (unexpected) logger.error({ err: error }, "A request failed");
  const challenge = status === 401 ? { "www-authenticate": `Bearer realm="Wharfinger", ${basicChallenge}` } : {};
  await replyWhole(request, reply, jsonAnswer(body, { status, headers: { ...headers, ...challenge } }), { stallTimeout });
}

function isFastifyError(error: Error): error is FastifyError {
  // fastify gives every error of a body a status, also those that are ours.
  return !(error instanceof HttpError) && "statusCode" in error && typeof error.statusCode === "number" && error.statusCode < 500;
}

/** fastify's own refusals (a body that is no JSON, too large, outside its schema) in our words and form. */
function translate(error: FastifyError): Error {
  if (error.validation !== undefined) {
    const found = error.validation
      .slice(0, 10)
      .map(({ instancePath, message }) => `${error.validationContext ?? ""}${instancePath} ${message ?? "is wrong"}`);
    return new ServiceError("INVALID", `The request is not what this route takes: ${found.join("; ")}.`);
  }
  if (error.statusCode === 413) return new HttpError("REQUEST_TOO_LARGE", "The body is larger than this route takes.");
  if (error.statusCode === 415) return new HttpError("CONTENT_ENCODING", "Send the body as application/json.");
  return new HttpError("REQUEST_INVALID", error.message);
}
