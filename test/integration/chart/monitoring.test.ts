// Alerts and dashboard ask for metrics that there are, by labels that they have.

import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { expect, test } from "vitest";

import { certificateMetrics } from "../../../src/observability/certificate-metrics.ts";
import { createMetrics } from "../../../src/observability/metrics.ts";
import { operatorMetrics } from "../../../src/observability/operator-metrics.ts";
import { chartFolder, everything, ofKind, production, render, type Rendered } from "../../support/chart.ts";

interface Metric {
  readonly name: string;
  readonly type: string;
  readonly labelNames?: readonly string[];
}

/** Of each program, by the names that a scrape has: with the labels. */
const labelsOf = new Map<string, ReadonlySet<string>>();
const registry = createMetrics({ version: "test", revision: () => null }).registry;
certificateMetrics(registry, { current: { expires: new Date() }, problem: undefined });
const operator = operatorMetrics({ version: "test", leases: () => [], staleness: () => [], resources: () => [], orphans: () => 0 });
for (const program of [registry, operator]) {
  for (const { name, type, labelNames = [] } of program.getMetricsAsArray() as unknown as readonly Metric[]) {
    const series = type === "histogram" ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name];
    for (const each of series) labelsOf.set(each, new Set([...labelNames, ...(type === "histogram" ? ["le"] : [])]));
  }
}
/** What a scrape adds. */
const ofScrapes = new Set(["namespace", "pod"]);

/** A selector and what it matches by; PromQL has no other place for braces. */
const selectors = /([a-z_:][a-z0-9_:]*)\{([^}]*)\}/g;
const matchers = /([a-z_]+)\s*(?:=~|!~|!=|=)\s*"[^"]*"/g;
const groupings = /\b(?:by|without)\s*\(([^)]*)\)/g;

function labelsIn(expression: string): readonly { readonly metric: string; readonly labels: readonly string[] }[] {
  const grouped = [...expression.matchAll(groupings)].flatMap(([, names = ""]) => names.split(",").map((name) => name.trim()));
  return [...expression.matchAll(selectors)].map(([, metric = "", matched = ""]) => ({
    metric,
    labels: [...matched.matchAll(matchers)].map(([, label = ""]) => label).concat(grouped),
  }));
}

interface Rules {
  readonly groups: readonly { readonly rules: readonly { readonly alert: string; readonly expr: string; readonly for: string }[] }[];
}

const alertsOf = (objects: readonly Rendered[]) =>
  ofKind(objects, "PrometheusRule").flatMap(({ spec }) => (spec as unknown as Rules).groups.flatMap(({ rules }) => rules));

async function queries(): Promise<readonly string[]> {
  const text = await readFile(join(chartFolder, "files/dashboards/wharfinger.json"), "utf8");
  const { panels } = JSON.parse(text) as { panels: readonly { targets: readonly { expr: string }[] }[] };
  return panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
}

/** What cannot be in an expression, as sentences. */
function wrongIn(expression: string): readonly string[] {
  const found = labelsIn(expression);
  if (found.length === 0) return ["asks for nothing"];
  return found.flatMap(({ metric, labels }) => {
    const there = labelsOf.get(metric);
    if (there === undefined) return [`there is no ${metric}`];
    const unknown = labels.filter((label) => !there.has(label) && !ofScrapes.has(label));
    return [
      ...unknown.map((label) => `${metric} has no ${label}`),
      ...(labels.includes("namespace") ? [] : [`${metric} of any namespace`]),
    ];
  });
}

test("what is wrong with an expression would be found", () => {
  expect(wrongIn('sum(rate(registry_http_requests{namespace="a"}[5m]))')).toEqual(["there is no registry_http_requests"]);
  expect(wrongIn('max by (pods) (wharfinger_free_bytes{place="blobs"})')).toEqual([
    "wharfinger_free_bytes has no pods",
    "wharfinger_free_bytes of any namespace",
  ]);
});

test("every metric and label that is asked for is there", async () => {
  const asked = [...alertsOf(await render(everything)).map(({ expr }) => expr), ...(await queries())];
  expect(asked.length).toBeGreaterThan(20);
  const wrong = asked.flatMap((expression) => wrongIn(expression).map((what) => `${what}: ${expression}`));
  expect(wrong).toEqual([]);
});

test("each alert is about this namespace, waits, and has a severity and a sentence", async () => {
  const alerts = alertsOf(await render(everything, { namespace: "images" }));
  expect(alerts).toHaveLength(11);
  for (const alert of alerts) {
    expect(alert).toMatchObject({
      alert: expect.stringMatching(/^Wharfinger/),
      expr: expect.stringContaining('namespace="images"'),
      for: expect.stringMatching(/^[0-9]+[mh]$/),
      labels: { severity: expect.stringMatching(/^(critical|warning)$/) },
      annotations: { summary: expect.stringMatching(/.{20,}/) },
    });
  }
});

test("a registry that is absent is not taken for there because an operator is", () => {
  const ofOperator = new Set((operator.getMetricsAsArray() as unknown as readonly Metric[]).map(({ name }) => name));
  expect(ofOperator.has("wharfinger_build_info")).toBe(true);
  expect(ofOperator.has("wharfinger_transfers")).toBe(false);
});

test("nothing is told of what is not there: snapshots that are off, certificates without TLS", async () => {
  const names = async (values: object) =>
    alertsOf(await render({ ...production, prometheusRule: { enabled: true }, ...values })).map(({ alert }) => alert);
  expect(await names({})).toEqual(expect.arrayContaining(["WharfingerSnapshotOld", "WharfingerCertificateEnds"]));
  const quiet = { ...production.settings, backup: { interval: "0s" } };
  expect((await names({ settings: quiet, tls: { enabled: false } })).filter((name) => /Snapshot|Certificate/.test(name))).toEqual([]);
});
