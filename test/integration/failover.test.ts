// A primary and its synchronous standby, real ones, under two pods: the primary is killed, and another time left alone behind a partition.

import { randomBytes } from "node:crypto";

import { afterAll, beforeAll, expect, test } from "vitest";

import { digestOf, type Digest } from "../../src/domain/digest.ts";
import { mediaTypes } from "../../src/domain/media-types.ts";
import { answerTo, eventually } from "../support/eventually.ts";
import { send, type Reply } from "../support/http.ts";
import { describe as described, imageOf } from "../support/own-registry.ts";
import { startPostgresHop, type PostgresHop } from "../support/postgres-hop.ts";
import { startPostgresServer, type PostgresServer } from "../support/postgres-server.ts";
import { startTestRegistry, type TestRegistry } from "../support/registry.ts";
import { startS3Service, type S3Service } from "../support/s3-service.ts";

interface Pod {
  /** The address by which this pod reaches the database. */
  readonly address: PostgresHop;
  readonly registry: TestRegistry;
}

const servers: PostgresServer[] = [];
const pods: Pod[] = [];
let s3: S3Service;
/** The server that takes writes, and the one that follows it. */
let primary: PostgresServer;
let standby: PostgresServer;

/** A standby without which nothing is acknowledged. */
async function follow(): Promise<void> {
  standby = await primary.standby("follower");
  servers.push(standby);
  await eventually(async () => expect(await primary.run("SELECT FROM pg_stat_replication WHERE state = 'streaming'")).toHaveLength(1));
  await primary.run("ALTER SYSTEM SET synchronous_standby_names = 'follower'");
  await primary.run("SELECT pg_reload_conf()");
  await eventually(async () => expect(await primary.run("SELECT FROM pg_stat_replication WHERE sync_state = 'sync'")).toHaveLength(1));
}

/** What was the standby is the primary, on a timeline of its own; where the addresses lead is not its business. */
async function promote(): Promise<PostgresServer> {
  const before = primary;
  primary = standby;
  await primary.promote();
  // It has what its primary had, also whom that waited for.
  await primary.run("ALTER SYSTEM RESET synchronous_standby_names");
  await primary.run("SELECT pg_reload_conf()");
  return before;
}

beforeAll(async () => {
  [primary, s3] = await Promise.all([startPostgresServer(), startS3Service()]);
  servers.push(primary);
  await primary.run("CREATE DATABASE registry");
  await follow();
  for (const pod of ["one", "two"]) {
    const address = await startPostgresHop(primary.port);
    const timeouts = { connect: 2_000, wait: 2_000, commit: 1_500 };
    const registry = await startTestRegistry({
      pod,
      blobs: { s3: s3.settings },
      database: { url: address.url("registry"), timeouts },
    });
    pods.push({ address, registry });
  }
});
afterAll(async () => {
  for (const { registry } of pods) await registry.stop().catch(() => undefined);
  for (const { address } of pods) await address.stop();
  for (const server of servers) await server.stop();
  await s3?.stop();
});

const config = Buffer.from("{}");
const at = (
  { registry }: Pod,
  method: string,
  path: string,
  sent: { body?: Buffer; headers?: Record<string, string> } = {},
): Promise<Reply> => send(registry.url, method, `/v2/team/app/${path}`, sent);

/** The digest of an image that was acknowledged whole; undefined: some step was not. */
async function push(pod: Pod, tag: string): Promise<Digest | undefined> {
  const layer = randomBytes(64);
  for (const bytes of [config, layer]) {
    const { status } = await at(pod, "POST", `blobs/uploads/?digest=${digestOf(bytes)}`, { body: bytes });
    if (status !== 201) return notNow(status);
  }
  const body = imageOf(described("application/vnd.oci.image.config.v1+json", config), [
    described("application/vnd.oci.image.layer.v1.tar", layer),
  ]);
  const { status } = await at(pod, "PUT", `manifests/${tag}`, { body, headers: { "content-type": mediaTypes.ociManifest } });
  return status === 201 ? digestOf(body) : notNow(status);
}

/** Whatever is not done is for later: nobody is told that something is missing, wrong or forbidden. */
function notNow(status: number): undefined {
  expect(status).toBe(503);
  return undefined;
}

const digestAt = async (pod: Pod, tag: string) => {
  const { status, headers } = await at(pod, "HEAD", `manifests/${tag}`);
  return status === 200 ? headers["docker-content-digest"] : status;
};

test("the primary is killed under pushes and deletes: what was acknowledged holds on every pod", async () => {
  const there = new Map<string, Digest>();
  const gone = new Set<string>();
  const over = new AbortController();
  const client = async (pod: Pod, name: string) => {
    for (let turn = 0; !over.signal.aborted; turn++) {
      const tag = `${name}-${turn}`;
      const digest = await push(pod, tag);
      if (digest === undefined) continue;
      there.set(tag, digest);
      if (turn % 3 !== 2) continue;
      const old = `${name}-${turn - 1}`;
      if (!there.delete(old)) continue;
      // From here on it may be gone; when this is acknowledged, it is.
      const { status } = await at(pod, "DELETE", `manifests/${old}`);
      if (status === 202) gone.add(old);
      else notNow(status);
    }
  };
  const clients = pods.flatMap((pod, place) => [client(pod, `pod${place}a`), client(pod, `pod${place}b`)]);
  await eventually(() => expect(there.size).toBeGreaterThan(30));
  await primary.signal("SIGKILL");
  await promote();
  for (const { address } of pods) address.lead(primary.port);
  const moved = performance.now();
  const before = there.size;
  await eventually(() => expect(there.size).toBeGreaterThan(before));
  const recovered = Math.round(performance.now() - moved);
  await eventually(() => expect(there.size).toBeGreaterThan(before + 20));
  over.abort();
  await Promise.all(clients);
  process.stdout.write(`first push ${recovered} ms after the address moved; ${there.size} pushes and ${gone.size} deletes to hold\n`);

  expect(gone.size).toBeGreaterThan(3);
  for (const pod of pods) {
    for (const [tag, digest] of there) expect([tag, await digestAt(pod, tag)]).toEqual([tag, digest]);
    for (const tag of gone) expect([tag, await digestAt(pod, tag)]).toEqual([tag, 404]);
  }
  const [tag] = there.keys();
  const { body } = await at(pods[0]!, "GET", `manifests/${tag}`);
  const { layers } = JSON.parse(body.toString()) as { layers: { digest: Digest }[] };
  for (const { digest } of layers) expect(digestOf((await at(pods[1]!, "GET", `blobs/${digest}`)).body)).toBe(digest);
});

test("the old primary lives on behind a partition: it acknowledges nothing, and nobody goes back to it", async () => {
  const [moved, left] = pods as [Pod, Pod];
  await follow();
  const digest = await answerTo("a push", () => push(left, "partitioned"));
  await eventually(async () => expect(await digestAt(moved, "partitioned")).toBe(digest));
  const old = await promote();

  // The address of one pod leads to the new primary. Its connections to the old one are open, and it finds out by itself.
  moved.address.lead(primary.port);
  await eventually(async () => expect(await push(moved, "on-the-new")).toBeDefined());
  // Of one that was answered with 503 nobody knows whether it was done.
  await eventually(async () => expect([202, 404]).toContain((await at(moved, "DELETE", "manifests/partitioned")).status));
  await eventually(async () => expect(await digestAt(moved, "partitioned")).toBe(404));

  // The other one is on the wrong side. What its server knows is all it can know; but nothing that it is told to change is acknowledged.
  expect(await push(left, "on-the-old")).toBeUndefined();
  expect((await at(left, "DELETE", `manifests/${digest ?? ""}`)).status).toBe(503);

  left.address.lead(primary.port);
  await eventually(async () => expect(await digestAt(left, "partitioned")).toBe(404));
  await eventually(async () => expect(await digestAt(left, "on-the-new")).toBe(await digestAt(moved, "on-the-new")));
  await eventually(async () => expect(await digestAt(left, "on-the-old")).toBe(404));

  // An address that is led back, by a mistake: the pod has seen a later timeline, and asks no more.
  left.address.lead(old.port);
  left.address.cut();
  await eventually(async () => expect(await digestAt(left, "partitioned")).toBe(503));
  await eventually(async () => expect((await at(left, "GET", "tags/list")).status).toBe(503));
  left.address.lead(primary.port);
  await eventually(async () => expect(await digestAt(left, "on-the-new")).toBe(await digestAt(moved, "on-the-new")));
});

test("a server that goes silent is left within seconds of the address moving", async () => {
  const [pod] = pods as [Pod];
  await follow();
  await answerTo("a push", () => push(pod, "before-silence"));
  await promote();
  for (const { address } of pods) {
    address.silence();
    address.lead(primary.port);
  }
  const moved = performance.now();
  await eventually(async () => expect(await push(pod, "after-silence")).toBeDefined());
  process.stdout.write(`first push ${Math.round(performance.now() - moved)} ms after the address moved away from a silent server\n`);
  await eventually(async () => expect(await digestAt(pods[1]!, "after-silence")).toBe(await digestAt(pod, "after-silence")));
});
