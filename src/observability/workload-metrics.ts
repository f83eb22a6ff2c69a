// Whether it is known what clusters use: while it is not, retention deletes nothing.

import { Gauge, type Registry } from "prom-client";

export interface WorkloadMetrics {
  /** `ask` is asked at each scrape, of every configured cluster. */
  askSilences(ask: () => Promise<readonly { readonly name: string; readonly silent: boolean }[]>): void;
}

export function workloadMetrics(registry: Registry): WorkloadMetrics {
  let ask: Parameters<WorkloadMetrics["askSilences"]>[0] = async () => [];
  const gauge = new Gauge({
    name: "wharfinger_workloads_unknown",
    help: "1: the cluster's reporter was not heard for an hour, or never, so no RetentionPolicy that asks it deletes anything",
    labelNames: ["cluster"],
    registers: [],
    async collect() {
      this.reset();
      // Nobody knows while the database is away: the other metrics are said.
      for (const { name, silent } of await ask().catch(() => [])) this.set({ cluster: name }, silent ? 1 : 0);
    },
  });
  registry.registerMetric(gauge);
  return { askSilences: (silences) => void (ask = silences) };
}
