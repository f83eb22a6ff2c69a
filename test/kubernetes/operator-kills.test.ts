// kill -9 of the operator at each of its steps, from a resource to its status. What it had not done the next one does, once; what people decided in
// Git holds; and whoever pulls meanwhile notices nothing.

import { afterAll, beforeAll, expect, test } from "vitest";

import { failpoints } from "../../src/failpoints/names.ts";
import { startDistribution, type Distribution } from "../support/distribution.ts";
import { eventually } from "../support/eventually.ts";
import { pushImage } from "../support/images.ts";
import { DrillWorld, killedAt, upstreamManifest } from "../support/drill-world.ts";
import { sharedApiServer } from "../support/shared-kubernetes.ts";

const steps = failpoints.filter((name) => /^(?:record|status)\./.test(name));
/** So many later a resource is deleted: it was committed by then, if not by the process that was to. */
const lives = 3;
let world: DrillWorld;
let upstream: Distribution;

const resource = (name: string, fields?: string) => upstreamManifest(upstream.url, name, fields);

beforeAll(async () => {
  [world, upstream] = await Promise.all([DrillWorld.on(await sharedApiServer()), startDistribution()]);
  world.defer(() => upstream.stop());
});
afterAll(() => world?.close());

test("what is served, and a person's revert", async () => {
  const { reader, registry } = world;
  const digest = await pushImage({ reference: `${upstream.host}/acme/app:v1`, content: "theirs" });
  const own = await pushImage({ reference: `${new URL(registry.url).host}/team/app:v1`, content: "ours" });
  await world.startOperator();
  await world.apply(resource("cgr"), resource("hub"));
  await world.hasCondition("Ready", "upstream", "--all");
  await world.apply(resource("hub", ", hosts: [hub.example]"));
  await eventually(() => expect(world.subjects().at(-1)).toContain("hub: generation 2"));
  world.person.git("revert", "--no-edit", "HEAD");
  await world.hasCondition("Overridden", "upstream/hub");
  reader.expect("/v2/cgr/acme/app/manifests/v1", { status: 200, digest });
  reader.expect("/v2/team/app/manifests/v1", { status: 200, digest: own });
  // What the revert took away.
  reader.expect("/v2/acme/app/manifests/v1?ns=hub.example", { status: 404 });
  await world.operator?.kill9();
});

test.each(steps.map((step, index) => ({ step, index })))("killed at $step", async ({ step, index }) => {
  await world.apply(resource(`step-${index}`));
  // Without its Lease nobody waits until that runs out.
  await world.kubectl(["delete", "lease/wharfinger", ...(index < lives ? [] : [`upstream/step-${index - lives}`])]);
  const operator = await world.startOperator(killedAt(step));
  await operator.exited;
  expect(operator.logs()).toContain(`failpoint ${step}: kill`);
  const { revision } = await world.control.record();
  expect(world.repository.git("rev-list", "wharfinger").split("\n"), "nothing is published that was not pushed").toContain(revision);
});

test("the last one ends what they began: each change was committed once, overrides hold, and nobody noticed", async () => {
  await world.kubectl(["delete", "lease/wharfinger"]);
  await world.startOperator();
  const names = steps.map((_, index) => `step-${index}`);
  const [gone, left] = [names.slice(0, -lives), names.slice(-lives)];
  await world.hasCondition("Ready", "upstream", "--all");
  await world.published();
  expect((await world.kubectl(["get", "upstream", "-o", "name"])).split("\n").sort()).toEqual(
    ["cgr", "hub", ...left].map((name) => `upstream.wharfinger.dev/${name}`),
  );
  const of = (name: string) => `upstream ${world.namespace}/${name}`;
  const wanted = [
    "record: begins",
    `${of("cgr")}: generation 1`,
    `${of("hub")}: generation 1`,
    `${of("hub")}: generation 2`,
    `Revert "${of("hub")}: generation 2"`,
    ...names.map((name) => `${of(name)}: generation 1`),
    ...gone.map((name) => `${of(name)}: removed`),
  ].sort();
  await eventually(() => expect([...world.subjects()].sort()).toEqual(wanted));
  await world.published();
  expect(world.repository.git("rev-list", "--merges", "wharfinger")).toBe("");
  expect((await world.condition("Upstream", "hub", "Overridden"))?.message).toContain("Jane Doe");
  for (const name of left) expect(await world.condition("Upstream", name, "Ready")).toMatchObject({ reason: "Succeeded" });
  expect(world.reader.wrong).toEqual([]);
  expect(world.reader.count).toBeGreaterThan(100);
});
