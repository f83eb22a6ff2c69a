import { Registry } from "prom-client";
import { expect, test } from "vitest";

import { collectorMetrics } from "./collector-metrics.ts";

test("queue, doomed, swept and paused are there for a scrape", async () => {
  const registry = new Registry();
  const metrics = collectorMetrics(registry);
  metrics.swept({ objects: 2, bytes: 300 });
  metrics.swept({ objects: 1, bytes: 5 });
  metrics.backlog({ queue: 9, due: 4, oldestDueSeconds: 12.5, doomed: 3, doomedBytes: 77, paused: true });
  const lines = (await registry.metrics()).split("\n").filter((line) => line.startsWith("wharfinger_gc_"));
  expect(lines).toEqual([
    "wharfinger_gc_swept_objects_total 3",
    "wharfinger_gc_swept_bytes_total 305",
    "wharfinger_gc_queue_length 9",
    "wharfinger_gc_queue_due 4",
    "wharfinger_gc_queue_oldest_due_seconds 12.5",
    "wharfinger_gc_doomed_objects 3",
    "wharfinger_gc_doomed_bytes 77",
    "wharfinger_gc_paused 1",
  ]);
  metrics.backlog({ queue: 0, due: 0, oldestDueSeconds: null, doomed: 0, doomedBytes: 0, paused: false });
  expect(await registry.metrics()).toContain("wharfinger_gc_queue_oldest_due_seconds 0\n");
});
