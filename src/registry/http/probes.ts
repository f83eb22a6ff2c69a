// /livez, /readyz and /metrics where they share the listener of everybody else, so that a token decides who reads more than that it is ready.

import type { FastifyInstance, FastifyRequest } from "fastify";

import type { RegistryMetrics } from "../../observability/metrics.ts";
import { ServiceError } from "../services/errors.ts";
import type { Readiness } from "../services/upkeep/readiness.ts";
import { jsonAnswer } from "./answer.ts";
import type { Callers } from "./login/callers.ts";
import type { ClientAddress } from "./client-address.ts";
import { replyWhole } from "./reply.ts";

export interface ProbeOptions {
  /** Never depends on the operator, Git or an upstream. */
  readonly readiness: Readiness;
  readonly metrics: RegistryMetrics;
  readonly callers: Callers;
  readonly clientAddress: ClientAddress;
  /** Nobody but who uses this machine can ask, and nobody was given or refused anything yet: metrics need no token then. */
  readonly openMetrics: () => boolean;
  /** Milliseconds. */
  readonly stallTimeout: number;
}

export function registerProbes(app: FastifyInstance, options: ProbeOptions): void {
  const { readiness, metrics, callers, clientAddress, openMetrics } = options;
  const isAdmin = async ({ headers: { authorization }, raw }: FastifyRequest) =>
    (await callers.know({ authorization, source: clientAddress(raw) })).role.kind === "admin";

  app.get("/livez", async (request, reply) => replyWhole(request, reply, jsonAnswer({ live: true }), options));

  app.get("/readyz", async (request, reply) => {
    const detailed = await isAdmin(request);
    const checks = await readiness({ detailed });
    const ready = checks.every((check) => check.ready);
    // The reasons name upstreams, resources and paths: not for everybody.
    await replyWhole(request, reply, jsonAnswer(detailed ? { ready, checks } : { ready }, { status: ready ? 200 : 503 }), options);
  });

  app.get("/metrics", async (request, reply) => {
    const admin = await isAdmin(request);
    if (!admin && !openMetrics()) throw new ServiceError("UNAUTHORIZED", "Metrics need the admin token (Authorization: Bearer …).");
    const body = Buffer.from(await metrics.registry.metrics());
    await replyWhole(request, reply, { status: 200, headers: { "content-type": metrics.registry.contentType }, body }, options);
  });
}
