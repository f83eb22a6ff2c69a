// The story with kubectl in the place of files: resources applied to a cluster become commits, then what a registry serves; a revert holds.

import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { paths } from "../../src/operator/kube/objects.ts";
import { eventually } from "../support/eventually.ts";
import { createNamespace } from "../support/kubernetes.ts";
import { offlineUpstream, OperatorWorld } from "../support/operator-world.ts";

let world: OperatorWorld;
beforeAll(async () => {
  world = await OperatorWorld.open();
  await world.startOperator();
});
afterAll(() => world?.close());

const upstream = (fields = "") => offlineUpstream({ fields });
const tagPolicy = `
apiVersion: wharfinger.dev/v1alpha1
kind: TagPolicy
metadata: {name: nginx}
spec: {upstreamRef: {name: chainguard}, images: [{repository: chainguard/nginx}], verify: {mode: Unverified}, schedule: "0 3 1 1 *"}
`;
const chainguard = "upstream/chainguard";
const recorded = (generation: number) => world.becomes(chainguard, "{.status.recordedGeneration}", String(generation));

test("what is applied is committed, published, and Ready", async () => {
  await eventually(async () => expect((await fetch(`${world.operator?.url}/readyz`)).status).toBe(200));
  await world.apply(upstream(), tagPolicy);
  await world.hasCondition("Ready", chainguard);
  await world.hasCondition("Ready", "tagpolicy/nginx");
  const subjects = world.git("log", "--format=%s");
  expect(subjects).toContain(`upstream ${world.namespace}/chainguard: generation 1`);
  expect(subjects).toContain(`tagpolicy ${world.namespace}/nginx: generation 1`);
  expect(await world.control.record()).toMatchObject({ revision: world.git("rev-parse", "HEAD") });
  expect((await world.stored("Upstream", "chainguard")).status).toMatchObject({
    observedGeneration: 1,
    recordedGeneration: 1,
    revision: world.git("log", "-1", "--format=%H", "--", "upstreams"),
  });
  await eventually(async () => expect(await world.kubectl(["events", "--for", chainguard])).toMatch(/Normal\s+Succeeded.*served as of/));
  expect(await world.kubectl(["get", "wharfinger"])).toMatch(/chainguard\s+cgr\s+https:\/\/cgr\.example\.org\s+True\s+Succeeded/);
});

test("what cannot be is said where one looks, and mended by the next apply", async () => {
  await world.apply(upstream(", auth: {secretRef: {name: missing}}"));
  await world.becomes(chainguard, "{.status.conditions[?(@.type=='Ready')].reason}", "SecretNotFound");
  await world.apply(upstream());
  await world.becomes(chainguard, "{.status.observedGeneration}", "3");
  await world.hasCondition("Ready", chainguard);
  expect(await world.condition("Upstream", "chainguard", "Ready")).toMatchObject({ reason: "Succeeded" });
});

test("while nothing happens nothing is written but the Lease", async () => {
  interface Listed {
    readonly items: readonly {
      readonly metadata: { readonly name: string; readonly resourceVersion: string };
      readonly status?: unknown;
    }[];
  }
  const written = async () => {
    const { items } = JSON.parse(await world.kubectl(["get", "upstreams,tagpolicies,configmaps,events", "-o", "json"])) as Listed;
    return items.map(({ metadata: { name, resourceVersion }, status }) => ({ name, resourceVersion, status }));
  };
  interface Lease {
    readonly spec: { readonly renewTime: string };
  }
  const renewed = async () =>
    Date.parse((await world.api.send<Lease>("GET", `${paths.leases(world.namespace)}/wharfinger`)).body.spec.renewTime);
  // The last thing that there is to say of an Upstream: the registry is asked every ten seconds what it has heard of it.
  await eventually(async () =>
    expect((await world.condition("Upstream", "chainguard", "Reachable"))?.message).toBe("offline: serves what is cached and asks nothing"),
  );
  const head = world.git("rev-parse", "HEAD");
  // The event of a status follows it: it is there when a renewal of the Lease has brought nothing new.
  let before = await written();
  await eventually(async () => {
    const [last, since] = [before, await renewed()];
    await eventually(async () => expect(await renewed()).toBeGreaterThan(since));
    before = await written();
    expect(before).toEqual(last);
  });
  // Longer than the pause between two rounds: one is among them.
  const end = (await renewed()) + 35_000;
  await eventually(async () => expect(await renewed()).toBeGreaterThan(end), 90);
  expect(await written()).toEqual(before);
  expect(world.git("rev-parse", "HEAD")).toBe(head);
});

test("a revert in the record holds, also over the next operator, and is told of", async () => {
  const changed = upstream(', repositories: {include: ["chainguard/**"]}');
  await world.apply(changed);
  await recorded(4);
  world.git("revert", "--no-edit", "HEAD");
  await world.hasCondition("Overridden", chainguard);
  await world.hasCondition("Ready", chainguard);
  const reverted = world.git("rev-parse", "HEAD");
  expect({ code: await world.operator?.stop(), logs: world.operator?.logs() }).toMatchObject({ code: 0 });
  expect(await world.kubectl(["get", "lease/wharfinger", "-o", "jsonpath={.spec.holderIdentity}"]), "handed over").toBe("");
  const next = await world.startOperator();
  await eventually(() => expect(next.logs()).toContain("the Lease is ours"));
  await world.apply(changed);
  await world.kubectl(["annotate", chainguard, "wharfinger.dev/requestedAt=now"]);
  await world.becomes(chainguard, "{.status.lastHandledReconcileAt}", "now");
  expect(world.git("rev-parse", "HEAD")).toBe(reverted);
  expect(await world.control.record()).toMatchObject({ revision: reverted });
  expect((await world.condition("Upstream", "chainguard", "Overridden"))?.message).toContain("Jane Doe");
});

test("a change of the resource ends the override, and says whose", async () => {
  await world.apply(upstream(', repositories: {include: ["library/**"]}'));
  await recorded(5);
  expect(world.git("log", "-1", "--format=%s")).toContain("ends override");
  await eventually(async () =>
    expect(await world.kubectl(["events", "--for", chainguard])).toMatch(/Warning\s+OverrideEnded.*by Jane Doe/),
  );
  expect(await world.condition("Upstream", "chainguard", "Overridden")).toBeUndefined();
});

test("what is deleted is removed from the record", async () => {
  await world.kubectl(["delete", "tagpolicy/nginx", chainguard]);
  await eventually(() => expect(world.git("ls-files", "upstreams", "tagpolicies")).toBe(""));
  await eventually(async () => expect(await world.control.record()).toMatchObject({ revision: world.git("rev-parse", "HEAD") }));
});

test("many that go at once wait for a person's word, by an annotation that is taken once", async () => {
  await world.apply(...["a", "b", "c", "d", "e"].map((name) => offlineUpstream({ name, prefix: name })));
  await world.hasCondition("Ready", "upstream", "--all");
  // One that runs may hear of the first two before the others are gone, and may remove these.
  await world.whileAway(() => world.kubectl(["delete", "upstream", "--all"]));
  await eventually(() => expect(world.operator?.logs()).toContain("5 resources are gone "));
  const commit = world.git("rev-parse", "HEAD");
  expect(world.git("ls-files", "upstreams").split("\n")).toHaveLength(5);
  // Not only by the words that the message names: the newest commit alone is about all that waits.
  await world.kubectl(["annotate", "configmap/wharfinger", `wharfinger.dev/confirm-removal=${commit}`]);
  await eventually(() => expect(world.git("ls-files", "upstreams")).toBe(""));
  await eventually(async () =>
    expect(await world.kubectl(["get", "configmap/wharfinger", "-o", "jsonpath={.metadata.annotations}"])).toBe(""),
  );
  // The event follows.
  await eventually(async () =>
    expect(await world.kubectl(["events", "--for", "configmap/wharfinger"])).toContain(`confirm-removal ${commit}: heard`),
  );
});

test("two operators are one: the second waits, and leads when the first has died", async () => {
  const first = world.operator;
  const second = await world.startOperator();
  await eventually(() => expect(second.logs()).toContain("this process waits for its turn"));
  expect((await fetch(`${second.url}/readyz`)).status).toBe(200);
  const metrics = await (await fetch(`${second.url}/metrics`)).text();
  expect(metrics).toContain(`leader_election_master_status{name="${world.namespace}/wharfinger"} 0`);
  await first?.kill9();
  await eventually(() => expect(second.logs()).toContain("the Lease is ours"));
  await world.apply(upstream());
  await world.hasCondition("Ready", chainguard);
});

test("an operator whose Lease is taken ends", async () => {
  const home = await createNamespace(world.api);
  const alone = await world.startOperator({
    kubeconfig: world.api.kubeconfig,
    namespaces: [home],
    // Two installations on one registry would be another test.
    registry: "http://127.0.0.1:9",
    record: join(world.folder, "other"),
  });
  await eventually(() => expect(alone.logs()).toContain("the Lease is ours"));
  await world.api.send("PATCH", `${paths.leases(home)}/wharfinger`, {
    body: { spec: { holderIdentity: "another" } },
    contentType: "application/merge-patch+json",
  });
  expect(await alone.exited).toBe(1);
  expect(alone.logs()).toContain("another holds it");
});
