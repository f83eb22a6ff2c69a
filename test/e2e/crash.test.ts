// kill -9 in the middle of pushes and proxy fills, again and again. Nothing that was acknowledged may be lost, and what the crash left
// behind must be mended by the next start: the checker finds nothing.

import { createHash, randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { afterAll, beforeAll, expect, test } from "vitest";

import type { AuditReport } from "../../src/api/control.ts";
import { startDistribution, type Distribution } from "../support/distribution.ts";
import { pushImage } from "../support/images.ts";
import { startStandalone, type Standalone } from "../support/standalone.ts";
import { startThrottle, type Throttle } from "../support/throttle.ts";

const rounds = 25;
const pushers = 4;
/** A fill of one of the upstream's layers takes longer than the longest round. */
const layerBytes = 3_000_000;
const fillBytesPerSecond = 2_500_000;

let upstream: Distribution;
let slow: Throttle;
let wharfinger: Standalone;
let folder: string;
/** What a 201 promised: manifest → the repository, its tag and its blobs. */
const acknowledged = new Map<string, { repository: string; tag: string; blobs: string[] }>();
const upstreamImages: { tag: string; digest: string }[] = [];
/** Fills that a kill cut off. */
let cutFills = 0;

const sha256 = (bytes: Uint8Array) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

beforeAll(async () => {
  upstream = await startDistribution();
  slow = await startThrottle({ to: Number(new URL(upstream.url).port), bytesPerSecond: fillBytesPerSecond });
  folder = await mkdtemp(join(tmpdir(), "wharfinger-crash-"));
  const config = join(folder, "config");
  await mkdir(config);
  await writeFile(
    join(config, "upstream.yaml"),
    `apiVersion: wharfinger.dev/v1alpha1
kind: Upstream
metadata: {name: local}
spec: {url: "http://${slow.host}", insecure: true, prefix: up}
`,
  );
  await writeFile(
    join(folder, "settings.yaml"),
    "gc: {lease: 10s, trashFor: 2s, doomDelay: 1s, interval: 200ms, uploadAbandonedAfter: 3s}\n",
  );
  wharfinger = await startStandalone({ config, settings: join(folder, "settings.yaml") });
});

afterAll(async () => {
  await wharfinger?.stop();
  await slow?.stop();
  await upstream?.stop();
  if (folder !== undefined) await rm(folder, { recursive: true, force: true });
});

/** One push as a client does it; journals only after the 201 of the manifest. */
async function push(url: string, repository: string, tag: string): Promise<void> {
  const blobs: { digest: string; size: number }[] = [];
  for (const size of [200 + Math.trunc(Math.random() * 2000), 100_000 + Math.trunc(Math.random() * 400_000)]) {
    const bytes = randomBytes(size);
    const start = await fetch(`${url}/v2/${repository}/blobs/uploads/`, { method: "POST" });
    if (start.status !== 202) throw new Error(`POST ${start.status}`);
    const location = new URL(start.headers.get("location") ?? "", url);
    const half = Math.trunc(size / 2);
    const patch = await fetch(location, {
      method: "PATCH",
      body: bytes.subarray(0, half),
      headers: { "content-type": "application/octet-stream" },
    });
    if (patch.status !== 202) throw new Error(`PATCH ${patch.status}`);
    const next = new URL(patch.headers.get("location") ?? "", url);
    next.searchParams.set("digest", sha256(bytes));
    const put = await fetch(next, { method: "PUT", body: bytes.subarray(half), headers: { "content-type": "application/octet-stream" } });
    if (put.status !== 201) throw new Error(`PUT ${put.status}`);
    blobs.push({ digest: sha256(bytes), size });
  }
  const descriptor = (index: number, mediaType: string) => ({ mediaType, ...blobs[index] });
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: descriptor(0, "application/vnd.oci.image.config.v1+json"),
      layers: [descriptor(1, "application/vnd.oci.image.layer.v1.tar")],
    }),
  );
  const reply = await fetch(`${url}/v2/${repository}/manifests/${tag}`, {
    method: "PUT",
    body: manifest,
    headers: { "content-type": "application/vnd.oci.image.manifest.v1+json" },
  });
  if (reply.status !== 201) throw new Error(`manifest PUT ${reply.status}`);
  acknowledged.set(sha256(manifest), { repository, tag, blobs: blobs.map(({ digest }) => digest) });
}

/** Pushes until the server is gone. */
async function pusher(url: string, number: number, round: number): Promise<void> {
  for (let n = 0; ; n++) {
    try {
      await push(url, `team-${number}/app`, `r${round}-${n}`);
    } catch {
      return;
    }
  }
}

/** Pulls an image that upstream has got just now, twice at the same time, through the proxy. */
async function puller(url: string, round: number): Promise<void> {
  const tag = String(round);
  upstreamImages.push({
    tag,
    digest: await pushImage({ reference: `${upstream.host}/library/image:${tag}`, content: `image ${tag}`, noise: layerBytes }),
  });
  try {
    const manifest = (await (await fetch(`${url}/v2/up/library/image/manifests/${tag}`)).json()) as { layers: { digest: string }[] };
    const read = async ({ digest }: { digest: string }) => (await fetch(`${url}/v2/up/library/image/blobs/${digest}`)).arrayBuffer();
    await Promise.all([...manifest.layers, ...manifest.layers].map(read));
  } catch {
    cutFills++;
  }
}

async function body(path: string): Promise<Uint8Array> {
  const reply = await fetch(`${wharfinger.url}${path}`);
  expect({ path, status: reply.status }).toEqual({ path, status: 200 });
  return new Uint8Array(await reply.arrayBuffer());
}

async function databaseProcess(): Promise<number> {
  const [line] = (await readFile(join(wharfinger.data, "postgres/postmaster.pid"), "utf8")).split("\n");
  const pid = Number(line);
  if (!(pid > 1)) throw new Error(`postmaster.pid names no process: ${line}`);
  return pid;
}

test(`${rounds} rounds of kill -9 during pushes and fills: nothing acknowledged is lost`, async () => {
  for (let round = 0; round < rounds; round++) {
    const traffic = [
      ...Array.from({ length: pushers }, (_, number) => pusher(wharfinger.url, number, round)),
      puller(wharfinger.url, round),
    ];
    await sleep(200 + Math.random() * 800);
    // Every third time the database goes the same way, at the same moment.
    if (round % 3 === 2) process.kill(await databaseProcess(), "SIGKILL");
    await wharfinger.kill9();
    await Promise.all(traffic);
    process.stderr.write(`round ${round + 1}: ${acknowledged.size} pushes acknowledged, ${cutFills} fills cut\n`);
    wharfinger = await wharfinger.restart();
  }
  // Else the rounds tested nothing.
  expect(acknowledged.size).toBeGreaterThan(rounds);
  expect(cutFills).toBeGreaterThan(rounds / 3);

  for (const [digest, { repository, tag, blobs }] of acknowledged) {
    expect(sha256(await body(`/v2/${repository}/manifests/${tag}`))).toBe(digest);
    for (const blob of blobs) expect(sha256(await body(`/v2/${repository}/blobs/${blob}`))).toBe(blob);
  }
  for (const { tag, digest } of upstreamImages) {
    const bytes = await body(`/v2/up/library/image/manifests/${tag}`);
    expect(sha256(bytes)).toBe(digest);
    for (const layer of (JSON.parse(new TextDecoder().decode(bytes)) as { layers: { digest: string }[] }).layers) {
      expect(sha256(await body(`/v2/up/library/image/blobs/${layer.digest}`))).toBe(layer.digest);
    }
  }

  const audit = await wharfinger.cli(["audit", "--deep", "-o", "json"]);
  expect(audit).toMatchObject({ code: 0 });
  const report = JSON.parse(audit.stdout) as AuditReport;
  expect(report.findings).toEqual([]);
  expect(report.checked.manifests).toBeGreaterThanOrEqual(acknowledged.size);
});
