// Disks that become full, for real: what is refused at which mark, that pulls go on, and that space is all it takes to come back.

import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";
import { stringify } from "yaml";

import { digestOf, imageManifest, pushBlob, pushImage, putManifest } from "../conformance/content.ts";
import { eventually } from "../support/eventually.ts";
import { send, type Reply } from "../support/http.ts";
import { ScriptedUpstream } from "../support/scripted-upstream.ts";
import { fillUp, makeRoom, seenBy, underSmallDisks } from "../support/small-disks.ts";
import { startStandalone, type Standalone } from "../support/standalone.ts";

const mebibyte = 1024 ** 2;
let folder: string;
let upstream: ScriptedUpstream;
let standalone: Standalone;
let url: string;
let blobs: string;
let postgres: string;
let token: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "low-water-"));
  upstream = await ScriptedUpstream.start();
  const data = join(folder, "data");
  const settings = join(folder, "settings.yaml");
  await writeFile(
    settings,
    stringify({ storage: { lowWaterBytes: "4Mi" }, spool: { lowWaterBytes: "8Mi" }, database: { lowWaterBytes: "32Mi" } }),
  );
  const config = join(folder, "config");
  await mkdir(config);
  await writeFile(
    join(config, "upstream.yaml"),
    stringify({
      apiVersion: "wharfinger.dev/v1alpha1",
      kind: "Upstream",
      metadata: { name: "up" },
      spec: { url: upstream.url, insecure: true, prefix: "up", cache: { tagTTL: "0s" } },
    }),
  );
  const under = await underSmallDisks({ [join(data, "blobs")]: 16 * mebibyte, [join(data, "postgres")]: 160 * mebibyte });
  standalone = await startStandalone({ data, config, settings, under });
  url = standalone.url;
  blobs = seenBy(standalone.pid, join(data, "blobs"));
  postgres = seenBy(standalone.pid, join(data, "postgres"));
  token = (await readFile(join(data, "admin-token"), "utf8")).trim();
});
afterAll(async () => {
  await standalone.stop();
  await upstream.stop();
  await rm(folder, { recursive: true });
});

function addImage(name: string): { layer: Buffer; image: string } {
  const layer = randomBytes(100_000);
  const image = imageManifest({ config: upstream.addBlob(name, Buffer.from("{}")), layers: [upstream.addBlob(name, layer)] });
  upstream.addManifest(name, image, { tag: "v1" });
  return { layer, image };
}

const get = (path: string) => send(url, "GET", path);
const upload = (bytes: Buffer) => send(url, "POST", `/v2/team/app/blobs/uploads/?digest=${digestOf(bytes)}`, { body: bytes });

function expectFull(reply: Reply, message: string): void {
  expect({ status: reply.status, code: reply.code() }).toEqual({ status: 507, code: "UNAVAILABLE" });
  expect(reply.body.toString()).toContain(message);
}

/** Layers of upstream are fetched again when they were not kept. */
async function isKept(name: string, layer: Buffer): Promise<boolean> {
  const path = `/${name}/blobs/${digestOf(layer)}`;
  const asked = upstream.asked(path, "GET").length;
  expect((await get(`/v2/up${path}`)).body.equals(layer)).toBe(true);
  return upstream.asked(path, "GET").length === asked;
}

test("the folder: copies are passed through first, then pushes are refused, and both come back", async () => {
  const { digest } = await pushImage(url, "team/app", "v1");
  const kept = addImage("kept");
  await get(`/v2/up/kept/blobs/${digestOf(kept.layer)}`);
  await eventually(async () => expect(await isKept("kept", kept.layer)).toBe(true));

  await fillUp(blobs, 6 * mebibyte);
  const passed = addImage("passed");
  expect(await isKept("passed", passed.layer)).toBe(false);
  expect(await isKept("passed", passed.layer), "below the mark of the spool nothing is kept").toBe(false);
  expect((await upload(randomBytes(1000))).status, "pushes have the rest").toBe(201);

  await fillUp(blobs, 2 * mebibyte);
  expectFull(await upload(randomBytes(1000)), "The registry has no space left for blobs; pulls go on.");
  expect((await get("/v2/team/app/manifests/v1")).headers["docker-content-digest"]).toBe(digest);
  expect((await get("/readyz")).status).toBe(200);
  expect((await send(url, "DELETE", `/v2/team/app/manifests/${digest}`)).status, "what makes room goes on").toBe(202);

  await makeRoom(blobs);
  expect((await upload(randomBytes(1000))).status).toBe(201);
  await get(`/v2/up/passed/blobs/${digestOf(passed.layer)}`);
  await eventually(async () => expect(await isKept("passed", passed.layer)).toBe(true));
});

test("the database's volume: what adds is refused before PostgreSQL would end, pulls go on, and space brings it back", async () => {
  const headers = { authorization: `Bearer ${token}` };
  const config = await pushBlob(url, "team/app", "{}");
  const image = imageManifest({ config, layers: [] });
  await putManifest(url, "team/app", "v2", image);
  await putManifest(url, "team/app", "v3", image);
  const cold = addImage("cold");

  await fillUp(postgres, 24 * mebibyte);
  const message = "The volume of the registry's database has 2";
  expectFull(await send(url, "POST", "/v2/team/app/blobs/uploads/"), message);
  expectFull(await upload(randomBytes(1000)), message);
  expectFull(await putManifest(url, "team/app", "v4", image), message);
  const body = JSON.stringify({ repository: "up/cold", reference: "v1" });
  expectFull(await send(url, "POST", "/api/v1/prefetch", { headers: { ...headers, "content-type": "application/json" }, body }), message);
  expect((await get("/v2/team/app/manifests/v2")).status).toBe(200);
  expect((await get("/v2/up/cold/manifests/v1")).body.toString(), "not cached, and passed through").toBe(cold.image);
  expect(await isKept("cold", cold.layer)).toBe(false);
  expect((await get("/readyz")).status).toBe(200);
  expect((await send(url, "DELETE", "/v2/team/app/manifests/v3")).status, "taking away goes on to half of the mark").toBe(202);
  const metrics = (await send(url, "GET", "/metrics", { headers })).body.toString();
  const free = Number(/^wharfinger_free_bytes\{place="database"\} (.+)$/m.exec(metrics)?.[1]);
  expect(free).toBeGreaterThan(20 * mebibyte);
  expect(free).toBeLessThan(28 * mebibyte);

  await fillUp(postgres, 12 * mebibyte);
  expectFull(await send(url, "DELETE", "/v2/team/app/manifests/v2"), "The volume of the registry's database has 1");
  expect((await get("/v2/team/app/manifests/v2")).status).toBe(200);

  await makeRoom(postgres);
  expect((await putManifest(url, "team/app", "v4", image)).status).toBe(201);
  expect((await send(url, "DELETE", "/v2/team/app/manifests/v2")).status).toBe(202);
  await get(`/v2/up/cold/blobs/${digestOf(cold.layer)}`);
  await eventually(async () => expect(await isKept("cold", cold.layer)).toBe(true));
  expect(standalone.logs()).not.toContain("PANIC");
});
