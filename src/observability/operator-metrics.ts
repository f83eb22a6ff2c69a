// Metrics of an operator, under the names that controllers have where there are such.

import { collectDefaultMetrics, Gauge, Registry } from "prom-client";

/** Asked at each scrape. */
export interface OperatorFacts {
  /** Of each namespace: does this process hold its Lease? */
  readonly leases: () => readonly { readonly namespace: string; readonly held: boolean }[];
  /** Of each watched collection: milliseconds since the API server was heard. */
  readonly staleness: () => readonly { readonly path: string; readonly staleFor: number }[];
  /** How many resources of a kind are in which state of Ready. */
  readonly resources: () => readonly { readonly kind: string; readonly ready: string }[];
  readonly orphans: () => number;
}

export function operatorMetrics(facts: OperatorFacts & { readonly version: string }): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 1000 });
  const gauge = (name: string, help: string, labelNames: readonly string[], collect: (gauge: Gauge) => void) =>
    registry.registerMetric(
      new Gauge({
        name,
        help,
        labelNames: [...labelNames],
        registers: [],
        collect() {
          this.reset();
          collect(this);
        },
      }),
    );
  gauge("leader_election_master_status", "1: this process holds the namespace's Lease", ["name"], (made) => {
    for (const { namespace, held } of facts.leases()) made.set({ name: `${namespace}/wharfinger` }, held ? 1 : 0);
  });
  gauge("wharfinger_operator_watch_stale_seconds", "Since the API server was last heard about a collection", ["path"], (made) => {
    for (const { path, staleFor } of facts.staleness()) made.set({ path }, staleFor / 1_000);
  });
  gauge("wharfinger_operator_resources", "Resources by kind and status of Ready", ["kind", "ready"], (made) => {
    for (const { kind, ready } of facts.resources()) made.inc({ kind, ready });
  });
  gauge("wharfinger_operator_orphans", "Files of the record that no resource stands behind", [], (made) => made.set(facts.orphans()));
  gauge("wharfinger_build_info", "1, labelled with the version", ["version"], (made) => made.set({ version: facts.version }, 1));
  return registry;
}
