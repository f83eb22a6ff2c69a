// Who reaches which of the registry's three ports: images from everywhere, the control API from this release alone, probes and metrics from the node
// and the monitoring.

import { expect, test } from "vitest";

import { embedded, everything, named, ofKind, production, render, reporterAlone, type Rendered } from "../../support/chart.ts";

interface Rule {
  readonly ports: readonly { readonly port: string | number }[];
  readonly from?: readonly { readonly namespaceSelector?: unknown; readonly podSelector?: unknown }[];
  readonly to?: readonly unknown[];
}

const rulesOf = (objects: readonly Rendered[], name: string, namespace?: string) => {
  const { spec } = named(objects, "NetworkPolicy", name, namespace);
  return spec as unknown as {
    readonly policyTypes: readonly string[];
    /** Not there: nothing comes in. */
    readonly ingress: readonly Rule[];
    readonly egress?: readonly Rule[];
  };
};
const forPort = (rules: readonly Rule[], port: string) => rules.filter(({ ports }) => ports.some((each) => each.port === port));
const container = (objects: readonly Rendered[], name: string) => named(objects, "Deployment", name).spec.template.spec.containers[0];

test("a Pod of the registry has three ports, and is asked how it is on the third", async () => {
  for (const values of [production, embedded]) {
    const registry = container(await render(values), "wharfinger-registry");
    expect(registry?.ports).toEqual([
      { name: "registry", containerPort: 5000, protocol: "TCP" },
      { name: "control", containerPort: 5001, protocol: "TCP" },
      { name: "admin", containerPort: 5002, protocol: "TCP" },
    ]);
    expect(registry?.args).toEqual(
      expect.arrayContaining(["--listen=0.0.0.0:5000", "--control-listen=0.0.0.0:5001", "--admin-listen=0.0.0.0:5002"]),
    );
    expect(registry?.readinessProbe?.httpGet).toEqual({ path: "/readyz", port: "admin" });
  }
  const wide = await render(everything);
  expect(container(wide, "wharfinger-registry")?.args).toContain("--admin-listen=[::]:5002");
  expect(container(wide, "wharfinger-operator")?.args).toContain("--listen=[::]:8081");
});

test("nothing that leads in from outside leads to the control API or the probes", async () => {
  const exposed = { ...everything, service: { type: "NodePort" as const, nodePort: 30_500 } };
  const objects = await render(exposed);
  const services = ofKind(objects, "Service").map(({ metadata, spec }) => [
    metadata.name,
    spec["type"],
    (spec["ports"] as readonly { readonly targetPort: string }[]).map(({ targetPort }) => targetPort),
  ]);
  expect(services).toEqual([
    ["wharfinger", "NodePort", ["registry"]],
    ["wharfinger-control", "ClusterIP", ["control"]],
  ]);
  for (const kind of ["Ingress", "HTTPRoute"]) {
    const text = JSON.stringify(ofKind(objects, kind));
    expect(text).toContain('"wharfinger"');
    expect(text).not.toContain("wharfinger-control");
  }
});

test("the operator, jobs and the reporter ask the control API, and jobs pull where images are", async () => {
  const objects = await render(everything);
  const control = "--registry=https://wharfinger-control.registry.svc:5001";
  expect(container(objects, "wharfinger-operator")?.args).toEqual(
    expect.arrayContaining([control, "--pull-from=https://wharfinger.registry.svc:5000"]),
  );
  expect(container(objects, "wharfinger-reporter")?.args).toContain(control);
  const elsewhere = { ...reporterAlone, components: ["operator", "report"], registryURL: "https://control.example.com:5001" };
  const operator = (more: object) => render({ ...elsewhere, ...more }).then((all) => container(all, "wharfinger-operator")?.args);
  expect((await operator({}))?.filter((flag) => flag.startsWith("--pull-from"))).toEqual([]);
  expect(await operator({ pullURL: "https://registry.example.com/" })).toContain("--pull-from=https://registry.example.com");
});

test("images have no `from`; the control API is for this release's Pods and its jobs; metrics for the monitoring", async () => {
  const objects = await render(everything);
  const { ingress, policyTypes } = rulesOf(objects, "wharfinger-registry");
  expect(policyTypes).toEqual(["Ingress"]);
  expect(forPort(ingress, "registry")).toEqual([{ ports: [{ port: "registry", protocol: "TCP" }] }]);
  const pods = (component: string) => ({
    podSelector: {
      matchLabels: {
        "app.kubernetes.io/name": "wharfinger",
        "app.kubernetes.io/instance": "wharfinger",
        "app.kubernetes.io/component": component,
      },
    },
  });
  const inNamespace = (name: string) => ({ namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": name } } });
  const jobs = {
    ...inNamespace("resources"),
    podSelector: { matchLabels: { "app.kubernetes.io/part-of": "wharfinger", "app.kubernetes.io/component": "job" } },
  };
  expect(forPort(ingress, "control").flatMap(({ from }) => from)).toEqual([pods("operator"), pods("reporter"), jobs]);
  expect(forPort(ingress, "admin").flatMap(({ from }) => from)).toEqual([inNamespace("monitoring")]);
  expect(forPort(rulesOf(objects, "wharfinger-operator").ingress, "probes").flatMap(({ from }) => from)).toEqual([
    inNamespace("monitoring"),
  ]);
  expect(rulesOf(objects, "wharfinger-reporter").ingress.flatMap(({ from }) => from)).toEqual([inNamespace("monitoring")]);
  for (const rule of ingress) expect(rule.from === undefined).toBe(rule.ports[0]?.port === "registry");
});

test("without a monitoring nobody but the node reaches metrics", async () => {
  const objects = await render({ ...production, networkPolicy: { metricsFrom: [], controlFrom: [{ ipBlock: { cidr: "10.0.0.0/8" } }] } });
  expect(forPort(rulesOf(objects, "wharfinger-registry").ingress, "admin")).toEqual([]);
  const all = await render({ ...everything, networkPolicy: { metricsFrom: [] } });
  for (const part of ["operator", "reporter"]) {
    const { policyTypes, ingress } = rulesOf(all, `wharfinger-${part}`);
    expect([policyTypes, ingress]).toEqual([["Ingress"], undefined]);
  }
  expect(JSON.stringify(forPort(rulesOf(objects, "wharfinger-registry").ingress, "control"))).toContain("10.0.0.0/8");
});

test("a job reaches the registry and names; others what values say, when they say something", async () => {
  const objects = await render(everything);
  const jobs = rulesOf(objects, "wharfinger-jobs", "resources");
  expect([jobs.policyTypes, jobs.ingress]).toEqual([["Ingress", "Egress"], undefined]);
  expect(jobs.egress?.map(({ ports }) => ports.map(({ port }) => port))).toEqual([
    [53, 53],
    ["registry", "control"],
  ]);
  expect(JSON.stringify(jobs.egress?.[1]?.to)).toContain('"kubernetes.io/metadata.name":"registry"');

  const rule = { ports: [{ port: 443, protocol: "TCP" }] };
  const egress = { registry: [rule], operator: [rule], reporter: [rule] };
  const strict = await render({ ...everything, networkPolicy: { egress } });
  for (const name of ["wharfinger-registry", "wharfinger-operator", "wharfinger-reporter"]) {
    expect(rulesOf(objects, name).policyTypes).toEqual(["Ingress"]);
    const { policyTypes, egress } = rulesOf(strict, name);
    expect(policyTypes).toEqual(["Ingress", "Egress"]);
    expect(egress?.map(({ ports }) => ports[0]?.port)).toEqual([53, "registry", 443]);
  }
  const far = await render({
    ...reporterAlone,
    components: ["operator", "report"],
    registryURL: "https://control.example.com:5001",
    pullURL: "https://registry.example.com",
  });
  expect(rulesOf(far, "wharfinger-jobs").egress?.[1]).toEqual({ ports: [5001, 443].map((port) => ({ port, protocol: "TCP" })) });
});

test("metrics are scraped from Pods, without a token", async () => {
  const monitors = (await render(everything)).filter(
    ({ apiVersion, kind }) => apiVersion.startsWith("monitoring") && kind !== "PrometheusRule",
  );
  const endpoints = (component: string, port: string) => [
    "PodMonitor",
    {
      selector: { matchLabels: expect.objectContaining({ "app.kubernetes.io/component": component }) },
      podMetricsEndpoints: [{ port, path: "/metrics", interval: "30s" }],
    },
  ];
  expect(monitors.map(({ kind, spec }) => [kind, spec])).toEqual([
    endpoints("operator", "probes"),
    endpoints("registry", "admin"),
    endpoints("reporter", "admin"),
  ]);
});
