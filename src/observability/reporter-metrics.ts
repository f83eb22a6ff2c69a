// Metrics of a reporter.

import { collectDefaultMetrics, Gauge, Registry } from "prom-client";

import { askedGauge } from "./asked-gauge.ts";

/** Asked at each scrape. */
export interface ReporterFacts {
  /** When the last whole report was taken; undefined: none was. */
  readonly reportedAt: () => Date | undefined;
  /** Reports in a row that were not whole, or not taken. */
  readonly failures: () => number;
}

export function reporterMetrics({ version, reportedAt, failures }: ReporterFacts & { readonly version: string }): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 1000 });
  const gauge = (name: string, help: string, value: () => number | undefined) => askedGauge(registry, { name, help, value });
  gauge("wharfinger_reporter_last_report_timestamp_seconds", "When the registry last took a whole report", () => {
    const at = reportedAt();
    return at && at.getTime() / 1_000;
  });
  gauge("wharfinger_reporter_failures", "Reports in a row that were not whole, or that the registry did not take", failures);
  const build = new Gauge({
    name: "wharfinger_build_info",
    help: "1, labelled with the version",
    labelNames: ["version"],
    registers: [registry],
  });
  build.set({ version }, 1);
  return registry;
}
