// Metrics of a registry process under the names that existing dashboards know (distribution's), never labelled by repository, tag or digest.

import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";

import { backupMetrics, type BackupMetrics } from "./backup-metrics.ts";
import { collectorMetrics, type CollectorMetrics } from "./collector-metrics.ts";
import { loadMetrics, type LoadMetrics } from "./load-metrics.ts";
import { tokenMetrics, type TokenMetrics } from "./token-metrics.ts";
import { workloadMetrics, type WorkloadMetrics } from "./workload-metrics.ts";

export interface HttpAnswer {
  readonly handler: string;
  readonly method: string;
  readonly status: number;
  readonly seconds: number;
}

export type ProxiedKind = "blob" | "manifest";

export interface RegistryMetrics extends BackupMetrics, CollectorMetrics, LoadMetrics, TokenMetrics, WorkloadMetrics {
  readonly registry: Registry;
  answered(answer: HttpAnswer): void;
  /** A pull through an Upstream (`namespace/name`): `hit` when nothing had to be fetched. */
  proxied(upstream: string, kind: ProxiedKind, result: "hit" | "miss"): void;
  /** Bytes fetched from upstream, and bytes sent on to clients. */
  pulledBytes(upstream: string, kind: ProxiedKind, bytes: number): void;
  pushedBytes(upstream: string, kind: ProxiedKind, bytes: number): void;
}

const durations = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120];
/** What a client may invent as a method is not a label. */
const methods = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);

/** A registry of its own for each process part: two in one test do not meet. `revision` is asked at each scrape. */
export function createMetrics(options: { version: string; revision: () => string | null }): RegistryMetrics {
  const registry = new Registry();
  // The default asks for the event loop's lag a hundred times a second, also where nothing happens.
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 1000 });
  const registers = [registry];

  const requests = new Counter({
    name: "registry_http_requests_total",
    help: "Requests answered under /v2",
    labelNames: ["handler", "method", "code"],
    registers,
  });
  const seconds = new Histogram({
    name: "registry_http_request_duration_seconds",
    help: "From the request's headers to the last byte of its answer",
    labelNames: ["handler", "method"],
    buckets: durations,
    registers,
  });
  const proxied = ["requests", "hits", "misses", "pulled_bytes", "pushed_bytes"].map(
    (name) =>
      new Counter({
        name: `registry_proxy_${name}_total`,
        help: `Pull-through: ${name.replace("_", " ")}`,
        labelNames: ["upstream", "type"],
        registers,
      }),
  );
  const [proxyRequests, proxyHits, proxyMisses, proxyPulled, proxyPushed] = proxied;
  const build = new Gauge({
    name: "wharfinger_build_info",
    help: "1, labelled with the version and the published revision",
    labelNames: ["version", "revision"],
    registers: [],
    collect() {
      this.reset();
      this.set({ version: options.version, revision: options.revision() ?? "" }, 1);
    },
  });
  registry.registerMetric(build);

  return {
    registry,
    ...backupMetrics(registry),
    ...collectorMetrics(registry),
    ...loadMetrics(registry),
    ...tokenMetrics(registry),
    ...workloadMetrics(registry),
    answered({ handler, method, status, seconds: taken }) {
      const known = methods.has(method) ? method : "other";
      requests.inc({ handler, method: known, code: String(status) });
      seconds.observe({ handler, method: known }, taken);
    },
    proxied(upstream, type, result) {
      proxyRequests?.inc({ upstream, type });
      (result === "hit" ? proxyHits : proxyMisses)?.inc({ upstream, type });
    },
    pulledBytes: (upstream, type, bytes) => proxyPulled?.inc({ upstream, type }, bytes),
    pushedBytes: (upstream, type, bytes) => proxyPushed?.inc({ upstream, type }, bytes),
  };
}
