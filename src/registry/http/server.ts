// One fastify application for /v2, /api/v1 and the probes, with the server settings that a registry needs: framework defaults cut long
// uploads, wait for slow headers and answer in forms that no registry client understands.

import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";

import Fastify, { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";

import type { Logger } from "../../observability/logger.ts";
import { ServiceError } from "../services/errors.ts";
import { jsonAnswer } from "./answer.ts";
import { basicChallenge } from "./authentication.ts";
import { registerControl, type ControlOptions } from "./control.ts";
import { describeFailure, errorBody, HttpError } from "./errors.ts";
import { connectionLimit, reportDropped } from "./listening.ts";
import { registerProbes, type ProbeOptions } from "./probes.ts";
import { replyWhole } from "./reply.ts";
import type { V2 } from "./v2.ts";
import { checkVisitor, type VisitorOptions } from "./visitors.ts";

export interface ServerOptions {
  readonly v2: V2;
  readonly control: Omit<ControlOptions, "stallTimeout">;
  readonly probes: Omit<ProbeOptions, "stallTimeout">;
  /** Milliseconds without a byte after which a body, in either direction, is given up; those of /v2 have their own. */
  readonly stallTimeout: number;
  readonly visitors: VisitorOptions;
  /** Clients come without a load balancer between. */
  readonly direct: boolean;
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

/** Blobs are anybody's bytes: no browser may take them for a page. */
const noSniffing = ["x-content-type-options", "nosniff"] as const;

const v2Methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];

export function buildServer(options: ServerOptions): FastifyInstance {
  const { v2, control, probes, visitors, direct, stallTimeout, logger, headersTimeout = defaultHeadersTimeout } = options;
  const refusing = { logger, stallTimeout };
  const app = Fastify({
    logger: false,
    bodyLimit: controlBodyLimit,
    keepAliveTimeout: direct ? keepAliveDirect : keepAliveBehindBalancers,
    requestTimeout: 0,
    http: { headersTimeout, connectionsCheckingInterval: headersTimeout / 3 },
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
      if (isV2(request)) void takeOver(request, reply, v2);
      else void refuse(error, request, reply, refusing);
    },
  });
  // Without it the last descriptor goes to a socket, and files and the database are what fails.
  app.server.maxConnections = connectionLimit();
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
    if (isV2(request)) return takeOver(request, reply, v2);
    throw new HttpError("ENDPOINT_UNKNOWN", "There is nothing here: the registry answers under /v2/ and /api/v1/.");
  });
  for (const url of ["/v2", "/v2/*"]) {
    // Taken over before fastify looks at a body: layers are streams of any type.
    app.route({ method: v2Methods, url, onRequest: async (request, reply) => takeOver(request, reply, v2), handler: () => undefined });
  }
  registerControl(app, { ...control, stallTimeout });
  registerProbes(app, { ...probes, stallTimeout });
  return app;
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

const badHttp: Readonly<Record<string, readonly [number, string, string]>> = {
  ERR_HTTP_REQUEST_TIMEOUT: [408, "Request Timeout", "The headers of the request did not come in time."],
  HPE_HEADER_OVERFLOW: [431, "Request Header Fields Too Large", "The headers of the request are larger than 16 KiB."],
};

/** What is no HTTP at all (or two kinds of it at once) never reaches a route. The connection ends: nobody knows where a next request would begin. */
function answerBadHttp(error: NodeJS.ErrnoException, socket: Socket): void {
  const running = (socket as Socket & { _httpMessage?: ServerResponse | null })._httpMessage;
  if (!socket.writable || error.code === "ECONNRESET" || running?.headersSent === true) {
    socket.destroy();
    return;
  }
  const [status, phrase, message] = badHttp[error.code ?? ""] ?? [400, "Bad Request", "The request is not valid HTTP/1.1."];
  const body = JSON.stringify(errorBody("INVALID", message));
  socket.end(
    `HTTP/1.1 ${status} ${phrase}\r\nconnection: close\r\ncontent-type: application/json\r\n${noSniffing.join(": ")}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    () => socket.destroySoon(),
  );
}
