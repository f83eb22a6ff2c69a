// Whether what a lost database is restored from is young enough.

import { Gauge, type Registry } from "prom-client";

export interface BackupMetrics {
  /** `age` is asked at each scrape, seconds; undefined where there need be no snapshot, or nobody knows. */
  measureSnapshotAge(age: () => number | undefined): void;
}

export function backupMetrics(registry: Registry): BackupMetrics {
  let age = (): number | undefined => undefined;
  const gauge = new Gauge({
    name: "wharfinger_snapshot_age_seconds",
    help: "Since the newest snapshot of the metadata was begun; while there is none, since the installation was",
    registers: [],
    collect() {
      const seconds = age();
      if (seconds === undefined) this.remove();
      else this.set(seconds);
    },
  });
  registry.registerMetric(gauge);
  return { measureSnapshotAge: (measure) => void (age = measure) };
}
