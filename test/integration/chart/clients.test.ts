// Whose address the registry sees: by it wrong passwords are slowed down and transfers limited, so a proxy must not be taken for its clients, nor they for it.

import { expect, test } from "vitest";

import { parseSettings } from "../../../src/config/load-settings.ts";
import { named, production, render, settingsText, type Values } from "../../support/chart.ts";
import { notesOf } from "../../support/chart-notes.ts";

const policyOf = async (service: Values) =>
  named(await render({ ...production, service }), "Service", "wharfinger").spec["externalTrafficPolicy"];

test.each<[Values, string | undefined]>([
  [{}, undefined],
  [{ type: "NodePort" }, "Local"],
  [{ type: "LoadBalancer" }, "Local"],
  [{ type: "LoadBalancer", externalTrafficPolicy: "Cluster" }, "Cluster"],
])("a node passes clients on with their own addresses, unless it is said otherwise: %o", async (service, policy) => {
  expect(await policyOf(service)).toBe(policy);
});

const access = (trustedProxies: readonly string[]) => ({ settings: { ...production.settings, access: { trustedProxies } } });
const ingress = { ingress: { enabled: true } };

test("the proxies that are named are those of the settings, and that there are none can be said", async () => {
  for (const networks of [["10.244.3.0/24", "fd00::/64"], []]) {
    const text = settingsText(await render({ ...production, ...ingress, ...access(networks) }));
    expect(parseSettings(text, "settings.yaml").access.trustedProxies).toEqual(networks);
  }
});

test.each<[Values, string]>([
  [{ ...ingress, ...access(["10.244.3.0/24"]) }, "Whoever comes from 10.244.3.0/24 says in X-Forwarded-For which client asks"],
  [{ ...ingress, ...access([]) }, "All who come by the Ingress are one client"],
  [{ service: { type: "NodePort", externalTrafficPolicy: "Cluster" } }, "All who come by one node are one client"],
  [{ service: { type: "LoadBalancer" } }, "unless the load balancer is a proxy"],
])("the notes say whose address counts: %o", async (values, words) => {
  expect(await notesOf({ ...production, ...values })).toContain(words);
});

test("the notes say nothing of it where nobody stands between", async () => {
  expect(await notesOf(production)).not.toMatch(/one client|X-Forwarded-For|load balancer/);
});
