// Blobs of an Upstream: one fetch for many readers, the right to what is cached, and what survives a bad connection.

import { randomBytes } from "node:crypto";
import { createServer, request as send, type Server } from "node:http";
import type { AddressInfo } from "node:net";

import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";

import { digestOf, type Digest } from "../../src/domain/digest.ts";
import { parseManifest } from "../../src/domain/manifest.ts";
import { statement } from "../../src/registry/metadata/database.ts";
import { startDistribution } from "../support/distribution.ts";
import { pushImage, pushIndex } from "../support/images.ts";
import {
  pullBlob,
  readAll,
  someone,
  startProxy,
  startUpstream,
  upstreamSpec,
  type ProxiedUpstream,
  type TestProxy,
} from "../support/proxy.ts";
import { ScriptedUpstream } from "../support/scripted-upstream.ts";

let proxy: TestProxy;
let upstream: ScriptedUpstream;
let prefix: string;
let app: string;
let configure: ProxiedUpstream["configure"];

beforeAll(async () => {
  proxy = await startProxy();
});
afterAll(() => proxy.stop());
beforeEach(async () => {
  ({ upstream, prefix, configure } = await startUpstream(proxy));
  app = `${prefix}/team/app`;
});
afterEach(() => upstream.stop());

const open = async (digest: Digest, repository = app) => (await proxy.pull.blob(repository, digest, someone, { head: false })).open();
const gets = () => upstream.asked("/blobs/", "GET");
const heads = () => upstream.asked("/blobs/", "HEAD");
const sent = () => gets().reduce((sum, seen) => sum + seen.sent, 0);
const linked = (repository: string) =>
  proxy.rows<{ digest: Digest }>(`SELECT l.digest FROM repository_blobs l JOIN repositories r ON r.id = l.repository WHERE r.name = $1`, [
    repository,
  ]);

async function stored(digest: Digest, repository = app): Promise<void> {
  await expect.poll(() => linked(repository)).toContainEqual({ digest });
}

test("20 cold readers, a slow one, one that leaves, and ranges: upstream serves the bytes once", async () => {
  const bytes = randomBytes(4 * 1024 * 1024 + 123);
  const digest = upstream.addBlob("team/app", bytes);
  // The end comes when everybody has begun, however long that takes on a busy machine.
  configure({ timeouts: { idle: "30s" } });
  const begun = Promise.withResolvers<void>();
  upstream.script("/blobs/", { kind: "gated", after: 3 * 1024 * 1024, until: begun.promise });

  const opened = await Promise.all(Array.from({ length: 20 }, () => open(digest)));
  const readers = opened.map((reader) => readAll(reader));
  const over = Promise.withResolvers<void>();
  let pieces = 0;
  const slow = readAll(await open(digest), { piece: 32 * 1024, pause: () => (++pieces < 10 ? Promise.resolve() : over.promise) });
  const leaver = await open(digest);
  await leaver.read(Buffer.alloc(1000), 0);
  await leaver.close();
  const impatient = await open(digest);
  const waiting = impatient.read(Buffer.alloc(10), bytes.length - 10);
  await impatient.close();
  await expect(waiting).rejects.toThrow("closed while it was read");
  // A range waits until it is there, the last byte until all is right.
  const ranged = await open(digest);
  const middle = Buffer.alloc(1000);
  let got = 0;
  while (got < middle.length) got += await ranged.read(middle.subarray(got), 2_000_000 + got);
  expect(middle.equals(bytes.subarray(2_000_000, 2_001_000))).toBe(true);
  begun.resolve();
  const last = Buffer.alloc(1);
  expect(await ranged.read(last, bytes.length - 1)).toBe(1);
  expect(last[0]).toBe(bytes.at(-1));
  expect(await ranged.read(last, bytes.length)).toBe(0);
  await ranged.close();

  const whole = await Promise.all(readers);
  expect(whole.filter((copy) => !copy.equals(bytes))).toEqual([]);
  await stored(digest);
  // The slow one still reads, from the same file, after the fill is over and the blob is stored.
  over.resolve();
  expect((await slow).equals(bytes)).toBe(true);
  expect((await pullBlob(proxy.pull, app, digest)).equals(bytes)).toBe(true);
  expect(gets()).toHaveLength(1);
  expect(sent()).toBe(bytes.length);
});

test("everybody leaves: the fill goes on and is kept", async () => {
  const bytes = randomBytes(1024 * 1024);
  const digest = upstream.addBlob("team/app", bytes);
  upstream.script("/blobs/", { kind: "slow", bytesPerSecond: 16 * 1024 * 1024, chunk: 128 * 1024 });
  const reader = await open(digest);
  await reader.close();
  await stored(digest);
  upstream.behave();
  await upstream.stop();
  expect((await pullBlob(proxy.pull, app, digest)).equals(bytes)).toBe(true);
});

test.each([
  ["by Range", false],
  ["from the start, when upstream ignores Range", true],
])("a broken connection is resumed %s, and no reader notices", async (_, ignoresRange) => {
  const bytes = randomBytes(1024 * 1024);
  const digest = upstream.addBlob("team/app", bytes);
  if (ignoresRange) upstream.script("/blobs/", { kind: "body", body: bytes, status: 200 }, 1);
  // The last rule comes first: three breaks, each further on.
  if (!ignoresRange) for (const after of [300_000, 200_000]) upstream.script("/blobs/", { kind: "truncate", after }, 1);
  // A break right behind its bytes may take them along; a silence does not, so that there is something to resume.
  upstream.script("/blobs/", { kind: "stall", after: 100_000 }, 1);
  const [one, two] = await Promise.all([pullBlob(proxy.pull, app, digest), pullBlob(proxy.pull, app, digest)]);
  expect([one.equals(bytes), two.equals(bytes)]).toEqual([true, true]);
  const ranges = gets().map(({ headers }) => headers["range"]);
  expect(ranges[0]).toBeUndefined();
  expect(ranges[1]).toBe("bytes=100000-");
  expect(ranges).toHaveLength(ignoresRange ? 2 : 4);
});

test("a connection that stalls before its first byte is taken is resumed too", async () => {
  const bytes = randomBytes(300_000);
  const digest = upstream.addBlob("team/app", bytes);
  upstream.script("/blobs/", { kind: "stall", after: 100_000 }, 1);
  // The answer is here, and the fill waits for its row.
  let pulled: Promise<Buffer> = Promise.resolve(bytes);
  await proxy.database.transaction(async (transaction) => {
    await transaction.query(statement("test-lock", "LOCK TABLE objects IN EXCLUSIVE MODE"), []);
    pulled = pullBlob(proxy.pull, app, digest);
    await expect.poll(() => gets()[0]?.closed).toBe(true);
  });
  expect((await pulled).equals(bytes)).toBe(true);
  expect(gets()).toHaveLength(2);
});

test("a connection that stalls is resumed", async () => {
  const bytes = randomBytes(300_000);
  const digest = upstream.addBlob("team/app", bytes);
  upstream.script("/blobs/", { kind: "stall", after: 100_000 }, 1);
  expect((await pullBlob(proxy.pull, app, digest)).equals(bytes)).toBe(true);
});

test("all readers of a fill that turns out wrong fail, none of them sees its end, and the next one may try again", async () => {
  const bytes = randomBytes(500_000);
  const digest = upstream.addBlob("team/app", bytes);
  upstream.script("/blobs/", { kind: "wrongBytes", hold: 300 }, 1);
  const readers = await Promise.all(Array.from({ length: 5 }, () => open(digest)));
  const results = await Promise.allSettled(readers.map((reader) => readAll(reader)));
  for (const result of results) expect(result).toMatchObject({ status: "rejected", reason: { code: "UPSTREAM_FAILED" } });
  expect(gets()).toHaveLength(1);
  expect((await pullBlob(proxy.pull, app, digest)).equals(bytes)).toBe(true);
});

test("HEAD of a cold blob costs one HEAD upstream", async () => {
  const digest = upstream.addBlob("team/app", Buffer.alloc(1234));
  const answers = await Promise.all(Array.from({ length: 10 }, () => proxy.pull.blob(app, digest, someone, { head: true })));
  expect(answers.map(({ size }) => size)).toEqual(Array.from({ length: 10 }, () => 1234));
  expect([heads().length, gets().length]).toEqual([1, 0]);
  await expect(proxy.pull.blob(app, digestOf("nothing"), someone, { head: true })).rejects.toMatchObject({ code: "BLOB_UNKNOWN" });
});

test("a size that upstream does not state comes from the manifest, or from the whole", async () => {
  const layer = randomBytes(200_000);
  const { layer: digest } = upstream.addImage("team/app", "latest", layer);
  upstream.script({ method: "GET", path: /blobs/ }, { kind: "longChunked", extra: 0 });
  upstream.script({ method: "HEAD", path: /blobs/ }, { kind: "headers", headers: { "content-length": "" } });
  await expect(proxy.pull.blob(app, digest, someone, { head: true })).rejects.toMatchObject({
    code: "UPSTREAM_FAILED",
    message: expect.stringMatching(/does not say how large/) as string,
  });
  expect((await proxy.pull.blob(app, digest, someone, { head: false })).size).toBe(200_000);
  const other = upstream.addImage("team/app", "other", randomBytes(100_000));
  await proxy.pull.manifest(app, { tag: "other" }, someone);
  expect((await proxy.pull.blob(app, other.layer, someone, { head: true })).size).toBe(100_000);
  expect((await proxy.pull.blob(app, other.layer, someone, { head: false })).size).toBe(100_000);
});

test("an empty blob", async () => {
  const digest = upstream.addBlob("team/app", Buffer.alloc(0));
  expect(await pullBlob(proxy.pull, app, digest)).toEqual(Buffer.alloc(0));
  await stored(digest);
});

test("sha512", async () => {
  const bytes = randomBytes(100_000);
  const digest = digestOf(bytes, "sha512");
  upstream.addBlob("team/app", bytes);
  upstream.script("/blobs/sha512:", { kind: "status", status: 200, body: "" }, 0);
  upstream.script("/blobs/sha512:", { kind: "redirect", location: `/v2/team/app/blobs/${digestOf(bytes)}` });
  expect((await pullBlob(proxy.pull, app, digest)).equals(bytes)).toBe(true);
});

// ------------------------------------------------------------------------------------------- the right to a cached blob

test("bytes of the same Upstream are linked after one HEAD for this repository, not fetched again", async () => {
  const bytes = randomBytes(100_000);
  const digest = upstream.addBlob("team/app", bytes);
  upstream.addBlob("team/other", bytes);
  await pullBlob(proxy.pull, app, digest);
  await stored(digest);
  expect((await pullBlob(proxy.pull, `${prefix}/team/other`, digest)).equals(bytes)).toBe(true);
  expect([gets().length, heads().length]).toEqual([1, 1]);
});

test("a repository that does not have the blob upstream does not get it from the cache", async () => {
  const digest = upstream.addBlob("team/private", randomBytes(100_000));
  await pullBlob(proxy.pull, `${prefix}/team/private`, digest);
  await stored(digest, `${prefix}/team/private`);
  await expect(open(digest)).rejects.toMatchObject({ code: "BLOB_UNKNOWN" });
  await expect(proxy.pull.blob(app, digest, someone, { head: true })).rejects.toMatchObject({ code: "BLOB_UNKNOWN" });
  expect(await linked(app)).toEqual([]);
});

test("during the fill of another repository the same right is needed", async () => {
  const bytes = randomBytes(1024 * 1024);
  const digest = upstream.addBlob("team/private", bytes);
  upstream.addBlob("team/friend", bytes);
  upstream.script({ method: "GET", path: /blobs/ }, { kind: "slow", bytesPerSecond: 4 * 1024 * 1024, chunk: 128 * 1024 });
  const owner = pullBlob(proxy.pull, `${prefix}/team/private`, digest);
  await expect.poll(() => gets().length).toBe(1);
  await expect(open(digest)).rejects.toMatchObject({ code: "BLOB_UNKNOWN" });
  expect((await pullBlob(proxy.pull, `${prefix}/team/friend`, digest)).equals(bytes)).toBe(true);
  await owner;
  expect([gets().length, sent()]).toEqual([1, bytes.length]);
  await stored(digest, `${prefix}/team/friend`);
});

test("bytes of another Upstream, and pushed bytes, are never linked: a HEAD that claims to have them gives nothing", async () => {
  const secret = randomBytes(100_000);
  const digest = upstream.addBlob("team/private", secret);
  await pullBlob(proxy.pull, `${prefix}/team/private`, digest);
  await stored(digest, `${prefix}/team/private`);
  // A public registry where anybody can push a manifest that names the digest, and whose HEAD says what it likes.
  const evil = await ScriptedUpstream.start();
  evil.addBlob("team/app", Buffer.alloc(0));
  evil.script({ method: "HEAD", path: /blobs/ }, { kind: "status", status: 200, headers: { "content-length": String(secret.length) } });
  proxy.configuration.publish({ [prefix]: upstreamSpec(upstream.url, prefix), evil: upstreamSpec(evil.url, "evil") });
  await expect(open(digest, "evil/team/app")).rejects.toMatchObject({ code: "BLOB_UNKNOWN" });
  expect(await linked("evil/team/app")).toEqual([]);
  // The same Upstream at another address is another registry.
  proxy.configuration.publish({ [prefix]: upstreamSpec(evil.url, prefix) });
  await expect(open(digest, `${prefix}/team/else`)).rejects.toMatchObject({ code: "BLOB_UNKNOWN" });
  // It may have them when it really has them.
  evil.addBlob("team/else", secret);
  evil.behave();
  await expect.poll(async () => (await pullBlob(proxy.pull, `${prefix}/team/else`, digest)).equals(secret), { interval: 500 }).toBe(true);
  await evil.stop();
});

test("a HEAD with another size is no right", async () => {
  const bytes = randomBytes(100_000);
  const digest = upstream.addBlob("team/app", bytes);
  upstream.addBlob("team/other", bytes);
  await pullBlob(proxy.pull, app, digest);
  await stored(digest);
  upstream.script({ method: "HEAD", path: /other\/blobs/ }, { kind: "headers", headers: { "content-length": "5" } });
  expect((await pullBlob(proxy.pull, `${prefix}/team/other`, digest)).equals(bytes)).toBe(true);
  expect(gets()).toHaveLength(2);
});

// -------------------------------------------------------------------------------------------------------------- storage

test.each([
  ["in the store", { lowWaterBytes: Number.MAX_SAFE_INTEGER }],
  ["for copies, by spool.lowWaterBytes", { spoolLowWaterBytes: Number.MAX_SAFE_INTEGER }],
])("no space left %s: clients are served without keeping", async (_, options) => {
  const full = await startProxy(options);
  full.configuration.publish({ [prefix]: upstreamSpec(upstream.url, prefix) });
  const bytes = randomBytes(300_000);
  const digest = upstream.addBlob("team/app", bytes);
  expect((await pullBlob(full.pull, app, digest)).equals(bytes)).toBe(true);
  await expect(full.pull.prefetchBlob(app, digest, "prefetch")).rejects.toMatchObject({ code: "INSUFFICIENT_STORAGE" });
  expect(await full.rows("SELECT 1 FROM blobs")).toEqual([]);
  expect(await full.rows("SELECT 1 FROM objects WHERE state <> 'doomed'")).toEqual([]);
  await full.stop();
});

test("a fetch gives signs of life while upstream is silent, and ends when its bytes were given up", async () => {
  const quick = await startProxy({ touchEvery: 10 });
  quick.configuration.publish({ [prefix]: upstreamSpec(upstream.url, prefix, { timeouts: { idle: "30s" } }) });
  const digest = upstream.addBlob("team/app", randomBytes(1024 * 1024));
  upstream.script("/blobs/", { kind: "stall", after: 500_000 });
  const reader = await (await quick.pull.blob(app, digest, someone, { head: false })).open();
  await reader.read(Buffer.alloc(10), 0);
  await quick.rows("UPDATE objects SET touched_at = '2000-01-01'");
  await expect.poll(() => quick.rows("SELECT touched_at > now() - interval '1 minute' AS fresh FROM objects")).toEqual([{ fresh: true }]);
  const reading = readAll(reader);
  reading.catch(() => {});
  await quick.rows("UPDATE objects SET state = 'doomed', doomed_at = now()");
  await expect(reading).rejects.toMatchObject({ code: "UPSTREAM_FAILED" });
  await quick.stop();
});

test("stopping in the middle of a fill keeps nothing and leaves nothing behind", async () => {
  const stopped = await startProxy();
  stopped.configuration.publish({ [prefix]: upstreamSpec(upstream.url, prefix) });
  const digest = upstream.addBlob("team/app", randomBytes(1024 * 1024));
  upstream.script("/blobs/", { kind: "stall", after: 500_000 });
  const reader = await (await stopped.pull.blob(app, digest, someone, { head: false })).open();
  const reading = readAll(reader);
  reading.catch(() => {});
  await reader.read(Buffer.alloc(10), 0);
  await stopped.pull.close();
  await expect(reading).rejects.toMatchObject({ code: "UPSTREAM_FAILED" });
  expect(await stopped.rows("SELECT state FROM objects")).toEqual([{ state: "doomed" }]);
  await stopped.stop();
});

// ------------------------------------------------------------------------------------------------- a registry that is real

/** Counts what passes between us and a real registry. */
async function countingProxy(
  target: string,
): Promise<{ url: string; counted: { path: string; method: string; bytes: number }[]; server: Server }> {
  const counted: { path: string; method: string; bytes: number }[] = [];
  const server = createServer((request, response) => {
    const entry = { path: request.url ?? "", method: request.method ?? "", bytes: 0 };
    counted.push(entry);
    const forward = send(`${target}${request.url ?? ""}`, { method: request.method, headers: request.headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.on("data", (chunk: Buffer) => (entry.bytes += chunk.length));
      answer.pipe(response);
    });
    request.pipe(forward);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, counted, server };
}

test("distribution as upstream, with a login: an index pulled by 20 at once costs every byte once; prefetch copies the rest", async () => {
  const registry = await startDistribution();
  const counter = await countingProxy(registry.url);
  try {
    const { digest, children } = await pushIndex({
      reference: `${registry.host}/team/app:latest`,
      content: "real",
      platforms: ["linux/amd64", "linux/arm64"],
    });
    const single = await pushImage({ reference: `${registry.host}/team/big:latest`, content: "big", noise: 3_000_000 });
    proxy.configuration.publish({ real: upstreamSpec(counter.url, "real") });

    const pulls = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const { bytes, mediaType, digest: found } = await proxy.pull.manifest("real/team/big", { tag: "latest" }, someone);
        expect([found, digestOf(bytes)]).toEqual([single, single]);
        const manifest = parseManifest(bytes, mediaType);
        const layers = manifest.kind === "image" ? manifest.layers : [];
        const sizes = await Promise.all(layers.map(async (layer) => (await pullBlob(proxy.pull, "real/team/big", layer.digest)).length));
        return [layers.map(({ size }) => size), sizes];
      }),
    );
    for (const [expected, sizes] of pulls) expect(sizes).toEqual(expected);
    const blobs = counter.counted.filter(({ path }) => path.includes("/blobs/"));
    expect(blobs).toHaveLength(pulls[0]?.[0]?.length ?? 0);
    expect(blobs.reduce((sum, { bytes }) => sum + bytes, 0)).toBe((pulls[0]?.[0] ?? []).reduce((sum, size) => sum + size, 0));
    expect(counter.counted.filter(({ path, method }) => path.includes("/team/big/manifests/") && method === "GET")).toHaveLength(1);

    const copied = await proxy.prefetch.prefetch({ repository: "real/team/app", reference: "latest" });
    expect(copied).toMatchObject({ digest, manifests: 3, missing: [] });
    expect(copied.blobs).toBeGreaterThan(0);
    await registry.stop();
    for (const child of Object.values(children)) {
      const { bytes, mediaType } = await proxy.pull.manifest("real/team/app", { digest: child }, someone);
      const manifest = parseManifest(bytes, mediaType);
      if (manifest.kind !== "image") throw new Error("not an image");
      for (const blob of [manifest.config, ...manifest.layers])
        expect(digestOf(await pullBlob(proxy.pull, "real/team/app", blob.digest))).toBe(blob.digest);
    }
  } finally {
    counter.server.closeAllConnections();
    counter.server.close();
    await registry.stop().catch(() => {});
  }
});

test("prefetch names what upstream does not have", async () => {
  const { layer, manifest, config } = upstream.addImage("team/app", "latest", Buffer.from("gone"));
  const evidence = upstream.addImage("team/app", "sha256-abc.att", Buffer.from("evidence"));
  upstream.removeBlob("team/app", layer);
  const absent = digestOf("absent");
  const result = await proxy.prefetch.prefetch({ repository: app, reference: manifest, also: [evidence.manifest, absent] });
  expect(result).toMatchObject({ digest: manifest, manifests: 2, blobs: 3, missing: [layer, absent].sort() });
  expect(await linked(app)).toEqual(expect.arrayContaining([{ digest: config }, { digest: evidence.layer }]));
  await expect(proxy.prefetch.prefetch({ repository: app, reference: "no such" })).rejects.toMatchObject({ code: "INVALID" });
  await expect(proxy.prefetch.prefetch({ repository: app, reference: "none" })).rejects.toMatchObject({ code: "MANIFEST_UNKNOWN" });
  await expect(proxy.prefetch.prefetch({ repository: app, reference: "latest", also: ["none"] })).rejects.toMatchObject({
    code: "MANIFEST_UNKNOWN",
  });
  await expect(proxy.prefetch.prefetch({ repository: "nowhere/app", reference: "latest" })).rejects.toMatchObject({ code: "NAME_UNKNOWN" });
});

/** A registry whose blobs have no Content-Length and never end. */
async function startEndless(): Promise<{
  url: string;
  sent: () => number;
  running: () => number;
  most: () => number;
  stop: () => Promise<void>;
}> {
  let [sent, running, most] = [0, 0, 0];
  const server = createServer((request, response) => {
    if (request.method === "HEAD" || !(request.url ?? "").includes("/blobs/")) return void response.writeHead(404).end();
    most = Math.max(most, ++running);
    const timer = setInterval(() => {
      sent += 1000;
      response.write(Buffer.alloc(1000));
    }, 5);
    response.on("close", () => {
      running--;
      clearInterval(timer);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    sent: () => sent,
    running: () => running,
    most: () => most,
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

test("a blob of unknown size ends with the last client that waits for it, and nothing of it stays", async () => {
  const endless = await startEndless();
  proxy.configuration.publish({ [prefix]: upstreamSpec(endless.url, prefix) });
  const digest = digestOf("never");
  const clients = [new AbortController(), new AbortController()];
  const waiting = clients.map(({ signal }) => proxy.pull.blob(app, digest, someone, { head: false, gone: signal }));
  const ended = Promise.allSettled(waiting);
  await expect.poll(endless.sent).toBeGreaterThan(0);
  clients[0]?.abort();
  await expect(waiting[0]).rejects.toThrow("nobody waits");
  const before = endless.sent();
  await expect.poll(endless.sent).toBeGreaterThan(before);
  clients[1]?.abort();
  await expect.poll(endless.running).toBe(0);
  await ended;
  expect(endless.most()).toBe(1);
  await expect.poll(() => proxy.rows("SELECT FROM objects WHERE state = 'uploading'")).toEqual([]);
  expect(await linked(app)).toEqual([]);
  await endless.stop();
});

test("larger than the most that is copied: refused by its length, cut without one", async () => {
  const small = await startProxy({ maxBlobBytes: 100_000 });
  small.configuration.publish({ [prefix]: upstreamSpec(upstream.url, prefix) });
  const bytes = randomBytes(100_001);
  const digest = upstream.addBlob("team/app", bytes);
  await expect(pullBlob(small.pull, app, digest)).rejects.toMatchObject({
    code: "UPSTREAM_FAILED",
    message: expect.stringContaining(`blob ${digest} has 100001 bytes, and at most 100000 are copied`) as string,
  });
  upstream.script("/blobs/", { kind: "longChunked", extra: 0 });
  await expect(pullBlob(small.pull, app, digest)).rejects.toMatchObject({
    code: "UPSTREAM_FAILED",
    message: expect.stringContaining("does not say how large") as string,
  });
  await expect.poll(() => small.rows("SELECT FROM objects WHERE state IN ('uploading', 'live')")).toEqual([]);
  const fits = upstream.addBlob("team/app", bytes.subarray(1));
  expect((await pullBlob(small.pull, app, fits)).equals(bytes.subarray(1))).toBe(true);
  await small.stop();
});

test("an Upstream has so many blobs on the way and no more; the others wait for their turn", async () => {
  const endless = await startEndless();
  const few = await startProxy({ maxFills: 2 });
  few.configuration.publish({ [prefix]: upstreamSpec(endless.url, prefix), other: upstreamSpec(upstream.url, "other") });
  const clients = ["a", "b", "c"].map((text) => {
    const client = new AbortController();
    const answer = few.pull.blob(app, digestOf(text), someone, { head: false, gone: client.signal });
    answer.catch(() => {});
    return { client, answer };
  });
  await expect.poll(endless.running).toBe(2);
  // Another Upstream is not held up.
  const bytes = randomBytes(1000);
  expect((await pullBlob(few.pull, "other/team/app", upstream.addBlob("team/app", bytes))).equals(bytes)).toBe(true);
  for (const { client, answer } of clients) {
    client.abort();
    await expect(answer).rejects.toThrow("nobody waits");
  }
  await expect.poll(endless.running).toBe(0);
  expect(endless.most()).toBe(2);
  await few.stop();
  await endless.stop();
});
