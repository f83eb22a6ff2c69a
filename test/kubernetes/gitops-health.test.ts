// What Flux and Argo CD say of our resources (deploy/flux, deploy/argocd), by what a real operator writes into their status.

import { generateKeyPairSync } from "node:crypto";

import { afterAll, beforeAll, expect, test } from "vitest";

import { kinds, type Kind } from "../../src/domain/resource.ts";
import { eventually } from "../support/eventually.ts";
import { argoHealth, fluxHealth } from "../support/gitops-health.ts";
import { offlineUpstream, OperatorWorld } from "../support/operator-world.ts";

let world: OperatorWorld;
beforeAll(async () => {
  world = await OperatorWorld.open();
});
afterAll(() => world?.close());

const policies = `
apiVersion: wharfinger.dev/v1alpha1
kind: TagPolicy
metadata: {name: good}
spec: {upstreamRef: {name: good}, images: [{repository: nginx}], verify: {keys: [{secretRef: {name: cosign-pub}}]}, schedule: "0 3 1 1 *"}
---
apiVersion: wharfinger.dev/v1alpha1
kind: RetentionPolicy
metadata: {name: good}
spec: {repositories: {include: ["team-a/**"]}, action: Delete, keep: [{name: releases, tags: "^v.*"}], schedule: "0 3 1 1 *"}
---
apiVersion: wharfinger.dev/v1alpha1
kind: AccessPolicy
metadata: {name: good}
spec: {subjects: [{kind: User, name: ci}], repositories: {include: ["team-a/**"]}, actions: [pull]}
`;

async function both(kind: Kind, name: string) {
  const stored = await world.stored(kind, name);
  const [flux, argo] = await Promise.all([fluxHealth(kind, stored), argoHealth(kind, stored)]);
  return { flux, argo: argo.status, says: argo.message };
}
const becomes = (kind: Kind, name: string, expected: object) =>
  eventually(async () => expect(await both(kind, name)).toMatchObject(expected));

test("nobody has seen it yet: in progress, of every kind", async () => {
  await world.apply(offlineUpstream({ name: "good", prefix: "good" }), policies);
  for (const kind of kinds)
    expect(await both(kind, "good")).toMatchObject({
      flux: "InProgress",
      argo: "Progressing",
      says: expect.stringContaining("not seen") as string,
    });
});

test("it is served: healthy, of every kind", async () => {
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const pem = publicKey.export({ type: "spki", format: "pem" }).toString();
  await world.kubectl(["create", "secret", "generic", "cosign-pub", `--from-literal=key.pub=${pem}`]);
  await world.startOperator();
  await eventually(async () => {
    for (const kind of kinds) expect(await both(kind, "good")).toMatchObject({ flux: "Current", argo: "Healthy" });
  });
});

test("it cannot work until somebody changes it: failed, in the words of the resource", async () => {
  await world.apply(offlineUpstream({ name: "late", prefix: "good" }));
  await becomes("Upstream", "late", { flux: "Failed", argo: "Degraded", says: expect.stringContaining("good") as string });
});

test("it is suspended: what was served is", async () => {
  await world.apply(offlineUpstream({ name: "good", prefix: "good", fields: ", suspend: true" }));
  await eventually(async () => expect(await both("Upstream", "good")).toMatchObject({ flux: "Current", argo: "Suspended" }));
});

test("it has changed since, or waits for something: in progress", async () => {
  await world.registry.kill9();
  await world.apply(offlineUpstream({ name: "waits", prefix: "waits" }));
  await becomes("Upstream", "waits", { flux: "InProgress", argo: "Progressing", says: expect.not.stringContaining("not seen") as string });
  await world.operator?.stop();
  await world.apply(offlineUpstream({ name: "late", prefix: "good", fields: ", suspend: true" }));
  expect(await both("Upstream", "late")).toMatchObject({ flux: "InProgress", argo: "Progressing" });
});
