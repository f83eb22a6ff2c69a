import { Gauge, type Registry } from "prom-client";

/** A gauge without labels whose `value` is asked at each scrape; undefined: it stays what it was. */
export function askedGauge(
  registry: Registry,
  { name, help, value }: { readonly name: string; readonly help: string; readonly value: () => number | undefined },
): void {
  registry.registerMetric(
    new Gauge({
      name,
      help,
      registers: [],
      collect() {
        const now = value();
        if (now !== undefined) this.set(now);
      },
    }),
  );
}
