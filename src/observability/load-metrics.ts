// What says how loaded a process is.

import { Counter, Gauge, type Registry } from "prom-client";

/** Places that can be full. */
export type Place = "blobs" | "spool" | "database";

export interface LoadMetrics {
  /** `measure` is asked at each scrape; undefined where there is no such limit. */
  measureFree(place: Place, measure: () => Promise<number | undefined>): void;
  /** A request was refused because the process has enough to do. */
  shed(reason: "database" | "memory"): void;
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
  const refused = new Counter({
    name: "wharfinger_shed_requests_total",
    help: "Requests answered 503 because the database's line or the memory in use was too long already",
    labelNames: ["reason"],
    registers: [registry],
  });
  const places = new Map<Place, () => Promise<number | undefined>>();
  const free = new Gauge({
    name: "wharfinger_free_bytes",
    help: "Bytes left where blobs, the spool of fetches and an embedded database lie",
    labelNames: ["place"],
    registers: [],
    async collect() {
      this.reset();
      for (const [place, measure] of places) {
        const bytes = await measure().catch(() => undefined);
        if (bytes !== undefined) this.set({ place }, bytes);
      }
    },
  });
  registry.registerMetric(free);
  return {
    measureFree: (place, measure) => void places.set(place, measure),
    shed: (reason) => refused.inc({ reason }),
    countTransfers: (count) => void (countTransfers = count),
  };
}
