// What the chart writes into the settings, and how Pods get them.

import { expect, test } from "vitest";
import { parse } from "yaml";

import { parseSettings } from "../../../src/config/load-settings.ts";
import {
  behindProxy,
  embedded,
  everything,
  named,
  production,
  render,
  settingsMap,
  settingsText,
  type Rendered,
  type Values,
} from "../../support/chart.ts";

const parsed = (objects: readonly Rendered[]) => parseSettings(settingsText(objects), "settings.yaml");

test("settings are what the chart knows and what values say", async () => {
  const settings = parsed(await render(everything));
  expect(settings).toMatchObject({
    externalURL: "https://Registry.example.com:443",
    access: {
      anonymousPull: "None",
      operator: { namespace: "registry", name: "wharfinger-operator" },
      jobs: { namespace: "resources", name: "wharfinger-jobs" },
      users: { secretRef: { namespace: "resources", name: "wharfinger-users" } },
      robots: { secretRef: { namespace: "resources", name: "wharfinger-robots" } },
    },
    clusters: [{ name: "prod", reporter: { namespace: "registry", name: "wharfinger-reporter" } }, { name: "edge" }],
    record: { remote: { secretRef: { namespace: "resources", name: "git" } } },
    auth: { signingKeySecret: { namespace: "resources", name: "signing" } },
    database: { passwordFile: "/etc/wharfinger/database/password" },
  });
  expect(settings.auth.issuers.map(({ name }) => name)).toEqual(["in-cluster", "edge"]);
  expect(parsed(await render(production)).auth.signingKeySecret).toBeUndefined();
});

/** What stands for "none" where a Secret may be left out. */
test.each([
  ["record", { record: { existingSecret: "" } }],
  ["signingKeys", { signingKeys: { existingSecret: "" } }],
  ["adminToken", { adminToken: { existingSecret: { name: "" } } }],
  ["users, and null takes the chart's default away", { users: { existingSecret: null }, robots: { existingSecret: null } }],
])("no Secret is as if nothing were written: %s", async (_, values) => {
  expect(parsed(await render({ ...production, ...values }))).toEqual(parsed(await render(production)));
});

const open = { settings: { ...production.settings, access: { anonymousPull: "PublicUpstreams", ...behindProxy.access } } };
const proxied = { settings: { ...production.settings, ...behindProxy } };

test.each<[string, Values, string]>([
  ["nothing outside reaches it", {}, "PublicUpstreams"],
  ["a NodePort", { service: { type: "NodePort" } }, "None"],
  ["a load balancer", { service: { type: "LoadBalancer" } }, "None"],
  ["an Ingress", { ingress: { enabled: true }, ...proxied }, "None"],
  ["a Gateway", { gateway: everything.gateway, ...proxied }, "None"],
  ["an Ingress, and it is written", { ingress: { enabled: true }, ...open }, "PublicUpstreams"],
  ["nothing outside reaches it, and it is written", { settings: { ...production.settings, access: { anonymousPull: "All" } } }, "All"],
])("anonymous pulls with %s", async (_, values, right) => {
  expect(parsed(await render({ ...production, ...values })).access.anonymousPull).toBe(right);
});

const volumeOf = (objects: readonly Rendered[], name: string) =>
  named(objects, "Deployment", name).spec.template.spec.volumes.find((volume) => volume["name"] === "settings");

test("other settings are another ConfigMap, so that a Pod reads those it was made for, also after a rollback", async () => {
  const before = await render(production);
  const after = await render({ ...production, settings: { ...production.settings, readOnly: true } });
  const names = [before, after].map((objects) => settingsMap(objects).metadata.name);
  expect(names[0]).not.toBe(names[1]);
  for (const [index, objects] of [before, after].entries()) {
    expect(settingsMap(objects)).toMatchObject({ immutable: true });
    for (const deployment of ["wharfinger-registry", "wharfinger-operator"])
      expect(volumeOf(objects, deployment)).toMatchObject({ configMap: { name: names[index] } });
  }
  expect(settingsMap(await render(production)).metadata.name).toBe(names[0]);
});

test.each<[stop: Values | undefined, seconds: number]>([
  [undefined, 5 + 300 + 25],
  [{ delay: "0s", grace: "1h30m" }, 5400 + 25],
  [{ delay: "1.5s", grace: "200ms" }, 2 + 1 + 25],
])("a Pod that stops has the time that the settings give it: %o", async (stop, seconds) => {
  const settings = stop === undefined ? production.settings : { ...production.settings, stop };
  const { spec } = named(await render({ ...production, settings }), "Deployment", "wharfinger-registry").spec.template;
  expect(spec.terminationGracePeriodSeconds).toBe(seconds);
});

test.each<[service: Values, delay: string]>([
  [{ type: "NodePort" }, "5s"],
  // Whose probes choose among the nodes.
  [{ type: "LoadBalancer" }, "30s"],
  [{ type: "LoadBalancer", externalTrafficPolicy: "Cluster" }, "5s"],
])("a Pod goes on answering until whoever sends clients has noticed: %o", async (service, delay) => {
  const { stop } = parse(settingsText(await render({ ...production, service }))) as { readonly stop: unknown };
  expect(stop).toEqual({ delay, grace: "5m" });
});

test("the profile for trying stops at once: there is no other Pod to wait for", async () => {
  const { spec } = named(await render(embedded), "Deployment", "wharfinger-registry").spec.template;
  expect(spec.terminationGracePeriodSeconds).toBe(10 + 25);
});
