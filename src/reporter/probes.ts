// How a reporter is, for a kubelet and a scraper: ready while the registry has a whole report of the cluster.

import type { ListenAddress } from "../config/listen.ts";
import type { Listening } from "../listeners/listening.ts";
import { startProbes } from "../listeners/probes.ts";
import { reporterMetrics } from "../observability/reporter-metrics.ts";
import type { Reporter } from "./reporter.ts";

export interface ReporterProbesOptions {
  readonly reporter: Pick<Reporter, "standing">;
  readonly listen: ListenAddress;
  readonly version: string;
}

/** Probes and metrics. Rejects when the address cannot be listened on. */
export function startReporterProbes({ reporter, listen, version }: ReporterProbesOptions): Promise<Listening> {
  return startProbes({
    listen,
    option: "--admin-listen",
    checks: () => {
      const { reportedAt, problem } = reporter.standing;
      return [{ name: "report", ready: problem === undefined, message: problem ?? `was taken at ${reportedAt?.toISOString() ?? ""}` }];
    },
    metrics: reporterMetrics({
      version,
      reportedAt: () => reporter.standing.reportedAt,
      failures: () => reporter.standing.failures,
    }),
  });
}
