// What goes through an Upstream, counted: by Upstream and kind.

import { randomBytes } from "node:crypto";

import { afterEach, beforeEach, expect, test } from "vitest";

import { pullBlob, someone, startProxy, upstreamSpec, type TestProxy } from "../support/proxy.ts";
import { ScriptedUpstream } from "../support/scripted-upstream.ts";

let proxy: TestProxy;
let upstream: ScriptedUpstream;

beforeEach(async () => {
  proxy = await startProxy();
  upstream = await ScriptedUpstream.start();
  proxy.configuration.publish({
    hub: upstreamSpec(upstream.url, "hub"),
    through: upstreamSpec(upstream.url, "through", { cache: { mode: "Never" } }),
  });
});
afterEach(async () => {
  await upstream.stop();
  await proxy.stop();
});

/** `requests hub blob` → 3 */
async function counted(): Promise<Record<string, number>> {
  const text = await proxy.metrics.registry.metrics();
  return Object.fromEntries(
    [...text.matchAll(/^registry_proxy_(\w+)_total\{upstream="default\/(\w+)",type="(\w+)"\} (\d+)$/gm)].map(
      ([, name, from, type, count]) => [`${name} ${from} ${type}`, Number(count)],
    ),
  );
}

test("misses, then hits; bytes from upstream and bytes to people", async () => {
  const bytes = randomBytes(300_000);
  const image = upstream.addImage("team/app", "v1", bytes);
  const { bytes: manifest } = await proxy.pull.manifest("hub/team/app", { tag: "v1" }, someone);
  await pullBlob(proxy.pull, "hub/team/app", image.layer);
  await expect.poll(() => proxy.rows("SELECT state FROM objects")).toEqual([{ state: "live" }]);
  const cold = {
    "requests hub manifest": 1,
    "misses hub manifest": 1,
    "pulled_bytes hub manifest": manifest.byteLength,
    "pushed_bytes hub manifest": manifest.byteLength,
    "requests hub blob": 1,
    "misses hub blob": 1,
    "pulled_bytes hub blob": bytes.byteLength,
    "pushed_bytes hub blob": bytes.byteLength,
  };
  expect(await counted()).toEqual(cold);
  await proxy.pull.manifest("hub/team/app", { tag: "v1" }, someone);
  await proxy.pull.manifest("hub/team/app", { tag: "v1" }, someone, { head: true });
  await pullBlob(proxy.pull, "hub/team/app", image.layer);
  await proxy.pull.blob("hub/team/app", image.layer, someone, { head: true });
  expect(await counted()).toEqual({
    ...cold,
    "requests hub manifest": 3,
    "hits hub manifest": 2,
    "pushed_bytes hub manifest": 2 * manifest.byteLength,
    "requests hub blob": 3,
    "hits hub blob": 2,
    "pushed_bytes hub blob": 2 * bytes.byteLength,
  });
});

test("what is not kept, what jobs read, and what nobody has", async () => {
  const bytes = randomBytes(100_000);
  const digest = upstream.addBlob("team/app", bytes);
  await pullBlob(proxy.pull, "through/team/app", digest);
  expect(await counted()).toEqual({
    "requests through blob": 1,
    "misses through blob": 1,
    "pulled_bytes through blob": bytes.byteLength,
    "pushed_bytes through blob": bytes.byteLength,
  });
  await proxy.pull.prefetchBlob("hub/team/app", digest, "prefetch");
  await expect(proxy.pull.manifest("hub/team/app", { tag: "none" }, someone)).rejects.toMatchObject({ code: "MANIFEST_UNKNOWN" });
  expect(await counted()).toMatchObject({ "pulled_bytes hub blob": bytes.byteLength });
  expect(Object.keys(await counted())).toHaveLength(5);
});
