// /livez, /readyz and /metrics: what an orchestrator and a person ask first.

import type { FastifyInstance } from "fastify";

import type { RegistryMetrics } from "../../observability/metrics.ts";
import { ServiceError } from "../services/errors.ts";
import type { ReadinessCheck } from "../services/readiness.ts";
import type { Authenticator } from "./authentication.ts";

export interface ProbeOptions {
  /** Never depends on the operator, Git or an upstream. */
  readonly readiness: () => Promise<readonly ReadinessCheck[]>;
  readonly metrics: RegistryMetrics;
  readonly authenticator: Authenticator;
  /** A listener that only this machine reaches needs no token for its metrics. */
  readonly openMetrics: boolean;
}

export function registerProbes(app: FastifyInstance, { readiness, metrics, authenticator, openMetrics }: ProbeOptions): void {
  app.get("/livez", async (_, reply) => reply.type("application/json").send('{"live":true}'));

  app.get("/readyz", async (_, reply) => {
    const checks = await readiness();
    const ready = checks.every((check) => check.ready);
    return reply
      .code(ready ? 200 : 503)
      .type("application/json")
      .send(JSON.stringify({ ready, checks }));
  });

  app.get("/metrics", async (request, reply) => {
    const identity = await authenticator.authenticate({ authorization: request.headers.authorization, source: request.ip });
    if (!openMetrics && !authenticator.isAdmin(identity)) {
      throw new ServiceError("UNAUTHORIZED", "Metrics need the admin token (Authorization: Bearer …).");
    }
    return reply.type(metrics.registry.contentType).send(await metrics.registry.metrics());
  });
}
