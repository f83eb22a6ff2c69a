// What says how loaded a process is.

import { Gauge, type Registry } from "prom-client";

export interface LoadMetrics {
  /** `count` is asked at each scrape. */
  countTransfers(count: () => number): void;
}

export function loadMetrics(registry: Registry): LoadMetrics {
  let countTransfers = () => 0;
  const transfers = new Gauge({
    name: "wharfinger_transfers",
    help: "Blobs on their way to or from clients",
    registers: [],
    collect() {
      this.set(countTransfers());
    },
  });
  registry.registerMetric(transfers);
  return {
    countTransfers: (count) => void (countTransfers = count),
  };
}
