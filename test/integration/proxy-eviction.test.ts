// Cached content that nobody uses goes, with its bytes; what a version or a proposal needs stays.

import { pino } from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";

import { hexOf, type Digest } from "../../src/domain/digest.ts";
import { writeGcTimes } from "../../src/registry/metadata/gc-settings.ts";
import { Eviction } from "../../src/registry/services/proxy/eviction.ts";
import { Push } from "../../src/registry/services/push/push.ts";
import { Workloads } from "../../src/registry/services/retention/workloads.ts";
import { pullBlob, someone, startProxy, upstreamSpec, type TestProxy } from "../support/proxy.ts";
import { ScriptedUpstream } from "../support/scripted-upstream.ts";

let proxy: TestProxy;
let upstream: ScriptedUpstream;

beforeEach(async () => {
  proxy = await startProxy();
  upstream = await ScriptedUpstream.start();
  proxy.configuration.publish({ hub: upstreamSpec(upstream.url, "hub", { cache: { unusedFor: "720h" } }) });
});
afterEach(async () => {
  await upstream.stop();
  await proxy.stop();
});

/** Pulls an image whole. */
async function pull(tag: string, content: string): Promise<{ manifest: Digest; config: Digest; layer: Digest }> {
  const image = upstream.addImage("team/app", tag, Buffer.from(content));
  await proxy.pull.manifest("hub/team/app", { tag }, someone);
  for (const blob of [image.config, image.layer]) await pullBlob(proxy.pull, "hub/team/app", blob);
  await expect.poll(() => proxy.rows("SELECT key FROM objects WHERE state = 'uploading'")).toEqual([]);
  return image;
}

/** Everything that happened so far was so long ago. */
async function pass(interval: string): Promise<void> {
  await proxy.statistics.flush();
  for (const text of [
    "UPDATE manifests SET pushed_at = pushed_at - $1::interval, keep_until = keep_until - $1::interval",
    "UPDATE pulls SET last_at = last_at - $1::interval",
    "UPDATE installation SET created_at = created_at - $1::interval",
    "UPDATE tags SET updated_at = updated_at - $1::interval",
  ]) {
    await proxy.rows(text, [interval]);
  }
}

const cached = async () =>
  (await proxy.rows<{ digest: Digest }>("SELECT digest FROM manifests ORDER BY digest")).map(({ digest }) => digest);

test("unused images go with their tags and bytes at once, without trash; the others stay whole", async () => {
  const old = await pull("old", "old");
  const used = await pull("used", "used");
  await pass("700 hours");
  await proxy.pull.manifest("hub/team/app", { digest: used.manifest }, someone);
  await pass("30 hours");
  expect(await proxy.eviction.runOnce()).toBe(1);
  expect(await cached()).toEqual([used.manifest]);
  expect(await proxy.rows("SELECT name FROM tags")).toEqual([{ name: "used" }]);
  expect(await proxy.rows("SELECT digest, previous, by FROM tag_events WHERE name = 'old' ORDER BY id")).toEqual([
    { digest: old.manifest, previous: null, by: "upstream" },
    { digest: null, previous: old.manifest, by: "eviction" },
  ]);
  expect(await proxy.rows("SELECT 1 FROM trash")).toEqual([]);
  await proxy.collector.runOnce();
  const left = await proxy.rows<{ digest: Digest }>("SELECT digest FROM blobs ORDER BY digest");
  expect(left.map(({ digest }) => digest)).toEqual([used.config, used.layer].toSorted((a, b) => (a < b ? -1 : 1)));
  expect((await pullBlob(proxy.pull, "hub/team/app", used.layer)).toString()).toBe("used");
  expect(await proxy.eviction.runOnce()).toBe(0);
  // And it comes back when somebody wants it.
  expect((await proxy.pull.manifest("hub/team/app", { tag: "old" }, someone)).digest).toBe(old.manifest);
});

test("of an Upstream that is offline nothing goes for being unused, and by size what somebody said", async () => {
  const old = await pull("old", "old");
  const newer = await pull("newer", "a longer layer");
  await pass("1000 hours");
  proxy.configuration.publish({ hub: upstreamSpec(upstream.url, "hub", { offline: true }) });
  expect(await proxy.eviction.runOnce()).toBe(0);
  expect((await cached()).toSorted()).toEqual([old.manifest, newer.manifest].toSorted());
  proxy.configuration.publish({ hub: upstreamSpec(upstream.url, "hub", { offline: true, cache: { maxSize: "1" } }) });
  expect(await proxy.eviction.runOnce()).toBe(2);
});

test("evicted bytes do not wait for doomDelay, unless an own repository had them too", async () => {
  const times = { lease: 3_600_000, trashFor: 0, doomDelay: 48 * 3_600_000, interval: 3_600_000, uploadAbandonedAfter: 3_600_000 };
  await writeGcTimes(proxy.database, times);
  const push = new Push({ database: proxy.database, store: proxy.store, expireAfter: 3_600_000 });
  const { config, layer } = await pull("old", "old");
  const pushed = await pull("pushed", "pushed");
  const bytes = Buffer.from("pushed");
  await push.uploadWhole(
    "team/own",
    { ...someone, mayPush: true },
    {
      digest: pushed.layer,
      body: (async function* () {
        yield bytes;
      })(),
    },
  );
  const mounted = await pull("mounted", "mounted");
  await push.mount("team/own", { ...someone, mayPush: true }, { digest: mounted.layer, from: "hub/team/app", readable: () => true });
  await proxy.rows("UPDATE repository_blobs SET keep_until = now() - interval '1 second'");
  await proxy.rows("DELETE FROM repository_blobs l USING repositories r WHERE r.id = l.repository AND r.name = 'team/own'");
  await pass("1000 hours");
  expect(await proxy.eviction.runOnce()).toBe(3);
  const evicted = new Set([config, layer, pushed.config, mounted.config]);
  expect(await proxy.collector.runOnce()).toMatchObject({ blobs: evicted.size + 2 });
  expect(await proxy.rows("SELECT state FROM objects")).toEqual([{ state: "doomed" }, { state: "doomed" }]);
});

test("what jobs read does not count as used", async () => {
  await pull("latest", "one");
  await pass("719 hours");
  await proxy.pull.manifest("hub/team/app", { tag: "latest" }, { ...someone, identity: "run:1" });
  await pass("2 hours");
  expect(await proxy.eviction.runOnce()).toBe(1);
});

test("a new installation calls nothing unused", async () => {
  await pull("latest", "one");
  await proxy.rows("UPDATE manifests SET pushed_at = pushed_at - interval '1 year'");
  expect(await proxy.eviction.runOnce()).toBe(0);
});

test("version tags, their evidence, proposals, and what a cluster reported stay, however old", async () => {
  const images = [await pull("version", "a"), await pull("proposed", "b"), await pull("running", "c"), await pull("loose", "d")];
  const [version, proposed, running] = images.map(({ manifest }) => manifest);
  const evidence = await pull(`sha256-${hexOf(version ?? "sha256:")}.att`, "evidence");
  await proxy.rows("INSERT INTO ledger (repository, tag, digest, version, held) SELECT id, '1.0.0', $1, '1.0.0', $1 FROM repositories", [
    version,
  ]);
  await proxy.rows("INSERT INTO proposals (kind, policy, repository, body) VALUES ('mint', 'default/p', 'hub/team/app', '{}')");
  await proxy.rows("INSERT INTO proposal_pins SELECT p.id, r.id, $1 FROM proposals p, repositories r", [proposed]);
  await pass("10000 hours");
  const workloads = new Workloads({ database: proxy.database, configuration: proxy.configuration, clusters: ["c"] });
  const image = `registry.example.com/hub/team/app@${running ?? ""}`;
  await workloads.report("c", { takenAt: new Date().toISOString(), scope: "Cluster", complete: true, images: [{ image }] });
  expect(await proxy.eviction.runOnce()).toBe(1);
  expect(await cached()).toEqual([version, proposed, running, evidence.manifest].toSorted((a, b) => ((a ?? "") < (b ?? "") ? -1 : 1)));
});

test("above maxSize the least recently pulled go, down to it", async () => {
  const megabyte = 1_000_000;
  const first = await pull("first", "1".repeat(megabyte));
  await pass("3 hours");
  const second = await pull("second", "2".repeat(megabyte));
  await pass("2 hours");
  await pull("third", "3".repeat(megabyte));
  await pass("1 hour");
  proxy.configuration.publish({ hub: upstreamSpec(upstream.url, "hub", { cache: { maxSize: "2100k" } }) });
  expect(await proxy.eviction.runOnce()).toBe(1);
  expect(await cached()).not.toContain(first.manifest);
  proxy.configuration.publish({ hub: upstreamSpec(upstream.url, "hub", { cache: { maxSize: 1_100_000 } }) });
  expect(await proxy.eviction.runOnce()).toBe(1);
  expect(await cached()).not.toContain(second.manifest);
  await proxy.collector.runOnce();
  const [{ size } = { size: 0 }] = await proxy.rows<{ size: number }>("SELECT sum(size)::bigint AS size FROM blobs");
  expect(size).toBeLessThan(1_100_000);
});

test("own content is never looked at", async () => {
  await proxy.rows("INSERT INTO repositories (name) VALUES ('team/own')");
  await proxy.rows(
    "INSERT INTO manifests (repository, digest, media_type, bytes, keep_until) SELECT id, 'sha256:own', 'x', '', now() FROM repositories WHERE name = 'team/own'",
  );
  await pass("10000 hours");
  expect(await proxy.eviction.runOnce()).toBe(0);
  expect(await cached()).toEqual(["sha256:own"]);
});

/** Cached manifests as if they had been pulled long ago, more than some batches. */
async function cacheMany(count: number): Promise<void> {
  await pull("first", "first");
  await proxy.rows(
    `INSERT INTO manifests (repository, digest, media_type, bytes, keep_until)
     SELECT repository, 'sha256:' || md5(n::text) || md5(n::text), media_type, bytes, keep_until
     FROM manifests, generate_series(1, $1 - 1) n`,
    [count],
  );
  await pass("1000 hours");
}

/** Calls `heard` in front of each transaction. */
function beforeTransactions(heard: () => void): void {
  const transaction = proxy.database.transaction.bind(proxy.database);
  proxy.database.transaction = (work, options) => {
    heard();
    return transaction(work, options);
  };
}

test("a stop waits for the batch that is running, not for the round", async () => {
  await cacheMany(1_000);
  let stopped: Promise<void> | undefined;
  beforeTransactions(() => {
    stopped ??= proxy.eviction.stop();
  });
  expect(await proxy.eviction.runOnce()).toBe(200);
  await stopped;
  expect(await cached()).toHaveLength(800);
});

test("rounds come one after the other, the first soon, none after the stop", async () => {
  await cacheMany(450);
  const eviction = new Eviction({ ...proxy, logger: pino({ level: "silent" }), times: { firstAfter: 1, pause: 1 } });
  let running = 0;
  let most = 0;
  let rounds = 0;
  const query = proxy.database.query.bind(proxy.database);
  proxy.database.query = async (asked, values) => {
    if (asked.name === "eviction-counted-for") rounds++;
    if (asked.name !== "eviction-manifests") return query(asked, values);
    most = Math.max(most, ++running);
    return query<never>(asked, values).finally(() => running--);
  };
  eviction.start();
  await Promise.all([eviction.runOnce(), eviction.runOnce()]);
  await expect.poll(() => rounds).toBeGreaterThan(4);
  await eviction.stop();
  expect(most).toBe(1);
  expect(await cached()).toEqual([]);
  const before = rounds;
  await eviction.runOnce();
  expect(rounds).toBe(before);
});
