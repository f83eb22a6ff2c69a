import { Registry } from "prom-client";
import { expect, test } from "vitest";

import { backupMetrics } from "./backup-metrics.ts";

test("the age of the newest snapshot, where there should be one", async () => {
  const registry = new Registry();
  const metrics = backupMetrics(registry);
  const line = async () => (await registry.metrics()).split("\n").find((text) => text.startsWith("wharfinger_snapshot_age_seconds"));
  expect(await line()).toBeUndefined();
  let age: number | undefined = 90_000;
  metrics.measureSnapshotAge(() => age);
  expect(await line()).toBe("wharfinger_snapshot_age_seconds 90000");
  age = undefined;
  expect(await line()).toBeUndefined();
});
