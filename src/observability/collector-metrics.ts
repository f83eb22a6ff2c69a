// Metrics of garbage collection. Gauges say what waited at the end of a round of this process, where much waits ten minutes ago at most: all processes
// ask the same database.

import { Counter, Gauge, type Registry } from "prom-client";

export interface CollectorMetrics {
  /** A step of the collector failed; `step` is one of a few names. */
  collectingFailed(step: string): void;
  /** The store deleted objects of so many bytes. */
  swept(swept: { readonly objects: number; readonly bytes: number }): void;
  backlog(backlog: {
    readonly queue: number;
    readonly due: number;
    readonly oldestDueSeconds: number | null;
    readonly doomed: number;
    readonly doomedBytes: number;
    readonly paused: boolean;
  }): void;
}

export function collectorMetrics(registry: Registry): CollectorMetrics {
  const registers = [registry];
  const gauge = (name: string, help: string) => new Gauge({ name: `wharfinger_gc_${name}`, help, registers });
  const failures = new Counter({
    name: "wharfinger_gc_failed_steps_total",
    help: "Steps of the collector that failed and are tried again",
    labelNames: ["step"],
    registers,
  });
  const sweptObjects = new Counter({ name: "wharfinger_gc_swept_objects_total", help: "Objects that this process deleted", registers });
  const sweptBytes = new Counter({ name: "wharfinger_gc_swept_bytes_total", help: "Bytes of these objects", registers });
  const queue = gauge("queue_length", "Links and references that wait for a look of the collector");
  const due = gauge("queue_due", "Those of the queue whose time has come");
  const age = gauge("queue_oldest_due_seconds", "How long the oldest of these has waited since its time came");
  const doomed = gauge("doomed_objects", "Objects that nothing names any more and that wait to be swept");
  const doomedBytes = gauge("doomed_bytes", "Bytes of these objects");
  const paused = gauge("paused", "1 while sweeping waits for a person (wharfinger gc status says why)");
  return {
    collectingFailed: (step) => failures.inc({ step }),
    swept({ objects, bytes }) {
      sweptObjects.inc(objects);
      sweptBytes.inc(bytes);
    },
    backlog(backlog) {
      queue.set(backlog.queue);
      due.set(backlog.due);
      age.set(Math.max(backlog.oldestDueSeconds ?? 0, 0));
      doomed.set(backlog.doomed);
      doomedBytes.set(backlog.doomedBytes);
      paused.set(backlog.paused ? 1 : 0);
    },
  };
}
