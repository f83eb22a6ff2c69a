// kill -9 in the middle of pushes and proxy fills, again and again. Nothing that was acknowledged may be lost, and what the crash left
// behind must be mended by the next start: the checker finds nothing.

import { createHash, randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { afterAll, beforeAll, expect, test } from "vitest";

import type { AuditReport } from "../../src/api/control/audit.ts";
import { startDistribution, type Distribution } from "../support/distribution.ts";
import { answerTo } from "../support/eventually.ts";
import { pushImage } from "../support/images.ts";
import { startStandalone, type Standalone } from "../support/standalone.ts";
import { startThrottle, type Throttle } from "../support/throttle.ts";

/** With the 14 of chaos.test.ts, 25. */
const rounds = 11;
const pusherCount = 4;
/** Milliseconds that a round goes on after there is something to lose, at most. */
const longestRest = 800;
/** A fill of one of the upstream's layers takes longer than that. */
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
    "gc: {lease: 10s, trashFor: 2s, doomDelay: 1s, interval: 200ms, uploadAbandonedAfter: 3s}\nbackup: {interval: 0s}\n",
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

/** The traffic of one round, from its first request to the kill. */
class Round {
  readonly #number: number;
  readonly #url: string;
  #killed = false;
  #pushed = 0;
  #filling = false;

  constructor(number: number, url: string) {
    this.#number = number;
    this.#url = url;
  }

  /** Resolves when there is something to lose: a push was acknowledged, and a fill is under way. */
  async begin(): Promise<{ readonly over: Promise<unknown> }> {
    const { tag, digest } = await imageOf(this.#number);
    upstreamImages.push({ tag, digest });
    const pushers = Array.from({ length: pusherCount }, (_, number) => this.#push(number));
    await this.#comes("a push is acknowledged", () => this.#pushed > 0);
    // Not before: on a busy machine the fill would be over by then.
    const puller = this.#pull(tag);
    await this.#comes("a fill is under way", () => this.#filling);
    return { over: Promise.all([...pushers, puller]) };
  }

  /** The server is about to be killed, or the round is given up: what fails from now on is not tried again. */
  end(): void {
    this.#killed = true;
  }

  async #comes(what: string, holds: () => boolean): Promise<void> {
    const context = () => wharfinger.logs().slice(-4000);
    try {
      await answerTo(`round ${this.#number + 1}: ${what}`, () => (holds() ? true : undefined), { seconds: 120, context });
    } catch (error) {
      this.end();
      throw error;
    }
  }

  /** Pushes until the server is gone. */
  async #push(number: number): Promise<void> {
    for (let n = 0; !this.#killed; n++) {
      try {
        await push(this.#url, `team-${number}/app`, `r${this.#number}-${n}`);
        this.#pushed++;
      } catch {
        await sleep(50);
      }
    }
  }

  /** Pulls through the proxy, each layer twice at the same time. */
  async #pull(tag: string): Promise<void> {
    const read = async ({ digest, size }: { digest: string; size: number }): Promise<void> => {
      const reply = await fetch(`${this.#url}/v2/up/library/image/blobs/${digest}`);
      if (!reply.ok || reply.body === null) throw new Error(`GET ${reply.status}`);
      // The other layer is only some bytes, and here at once.
      for await (const _ of reply.body) this.#filling ||= size > layerBytes / 2;
    };
    while (!this.#killed) {
      try {
        const manifest = (await (await fetch(`${this.#url}/v2/up/library/image/manifests/${tag}`)).json()) as {
          layers: { digest: string; size: number }[];
        };
        await Promise.all([...manifest.layers, ...manifest.layers].map(read));
        return;
      } catch {
        if (this.#killed) cutFills++;
        else await sleep(50);
      }
    }
  }
}

/** An image that upstream has got just now. */
async function imageOf(round: number): Promise<{ tag: string; digest: string }> {
  const tag = String(round);
  const reference = `${upstream.host}/library/image:${tag}`;
  return { tag, digest: await pushImage({ reference, content: `image ${tag}`, noise: layerBytes }) };
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

// A busy machine needs half a minute a round.
test(`${rounds} rounds of kill -9 during pushes and fills: nothing acknowledged is lost`, { timeout: 1_800_000 }, async () => {
  for (let round = 0; round < rounds; round++) {
    const traffic = new Round(round, wharfinger.url);
    const { over } = await traffic.begin();
    await sleep(Math.random() * longestRest);
    traffic.end();
    // Every third time the database goes the same way, at the same moment.
    if (round % 3 === 2) process.kill(await databaseProcess(), "SIGKILL");
    await wharfinger.kill9();
    await over;
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
