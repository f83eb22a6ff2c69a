// Versions keep their copies: after a lost database, a restart, an upstream that was away (design: storage.md, Schema; record.md, "Publishing").

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Client } from "pg";
import { pino } from "pino";
import { afterEach, expect, test } from "vitest";

import type { LedgerDocument, PublishRequest, RecordedResource } from "../../src/api/control/record.ts";
import { ControlClient } from "../../src/client/control-client.ts";
import { digestOf, type Digest } from "../../src/domain/digest.ts";
import { blobsOf, childrenOf, parseManifest } from "../../src/domain/manifest.ts";
import { acceptedManifestTypes } from "../../src/domain/media-types.ts";
import { VersionCopies } from "../../src/registry/services/versions/version-copies.ts";
import { attach } from "../support/attachments.ts";
import { World } from "../support/control-plane.ts";
import { startDistribution } from "../support/distribution.ts";
import { eventually } from "../support/eventually.ts";
import { pushIndex } from "../support/images.ts";
import { createDatabase } from "../support/postgres.ts";
import { startProxy, upstreamSpec } from "../support/proxy.ts";
import { adminToken, startTestRegistry, type TestRegistry } from "../support/registry.ts";
import { ScriptedUpstream } from "../support/scripted-upstream.ts";

const ended: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ended.splice(0).reverse()) await end();
});

test("a lost database: what Git binds is copied again with its evidence, before anybody pulls; then upstream may be gone", async () => {
  const upstream = await startDistribution();
  ended.push(() => upstream.stop().catch(() => undefined));
  const name = "chainguard/nginx";
  const { digest, children } = await pushIndex({
    reference: `${upstream.host}/${name}:latest`,
    content: "nginx",
    platforms: ["linux/amd64", "linux/arm64"],
  });
  const attested = [digest, children["linux/arm64"]!];
  const evidence = await Promise.all(
    attested.map((subject) => attach(upstream.url, name, `${subject.replace(":", "-")}.att`, [{ bytes: Buffer.from(`about ${subject}`) }])),
  );
  const world = await World.create();
  ended.push(() => world.close());
  world.write(
    "cgr.yaml",
    `apiVersion: wharfinger.dev/v1alpha1\nkind: Upstream\nmetadata: {name: cgr}\nspec: {url: "${upstream.url}", insecure: true, prefix: cgr}\n`,
  );
  world.tagPolicy("nginx");
  const copied = async () => {
    expect(await world.sql("SELECT tag, held FROM ledger")).toEqual([{ tag: "1.27.3", held: digest }]);
    expect(await world.sql("SELECT tag, held FROM ledger_evidence ORDER BY held")).toEqual(
      evidence.toSorted().map((held) => ({ tag: "1.27.3", held })),
    );
  };
  await world.start();
  const id = await world.propose("1.27.3", digest);
  await eventually(async () => expect((await world.client.proposal(id)).state).toBe("published"));
  // No job copied anything for this proposal.
  await eventually(copied);

  await world.stop();
  await world.loseDatabase();
  expect(await world.sql("SELECT FROM blobs")).toEqual([]);
  await world.start();
  await eventually(copied);
  expect(
    await world.sql("SELECT FROM manifest_children WHERE held IS NULL UNION ALL SELECT FROM manifest_blobs WHERE held IS NULL"),
  ).toEqual([]);

  await upstream.stop();
  await pullWhole(`${world.registry.url}/v2/cgr/${name}`, "1.27.3");
}, 60_000);

/** Index, children, configs and layers, each with its digest. */
async function pullWhole(repository: string, reference: string): Promise<void> {
  const answer = await fetch(`${repository}/manifests/${reference}`, { headers: { accept: acceptedManifestTypes.join(", ") } });
  expect(answer.status).toBe(200);
  const bytes = Buffer.from(await answer.arrayBuffer());
  const manifest = parseManifest(bytes, answer.headers.get("content-type") ?? "");
  for (const child of childrenOf(manifest)) await pullWhole(repository, child.digest);
  for (const blob of blobsOf(manifest)) {
    const pulled = await fetch(`${repository}/blobs/${blob.digest}`);
    expect([pulled.status, digestOf(Buffer.from(await pulled.arrayBuffer()))]).toEqual([200, blob.digest]);
  }
}

// ------------------------------------------------------------------------------------------- with an upstream that misbehaves

let upstream: ScriptedUpstream;
const revision = (n: number) => String(n).repeat(40);

async function startUpstream(): Promise<void> {
  upstream = await ScriptedUpstream.start();
  ended.push(() => upstream.stop());
}

function resource(kind: "Upstream" | "TagPolicy", name: string, spec: object): RecordedResource {
  return { kind, namespace: "default", name, generation: 1, revision: revision(1), suspend: false, spec };
}

/** Versions by repository and tag, with a policy that copies, and one that does not for `team/reference`. */
function request(
  n: number,
  versions: Readonly<Record<string, Readonly<Record<string, Digest>>>>,
  more: readonly RecordedResource[] = [],
): PublishRequest {
  const policy = (repository: string, copy: "Image" | "Reference") =>
    resource("TagPolicy", copy.toLowerCase(), {
      upstreamRef: { name: "up" },
      images: [{ repository }],
      verify: { mode: "Unverified" },
      copy,
    });
  return {
    revision: revision(n),
    base: n === 1 ? null : revision(n - 1),
    resources: [
      resource("Upstream", "up", { url: upstream.url, insecure: true, prefix: "up" }),
      policy("team/app", "Image"),
      policy("team/reference", "Reference"),
      ...more,
    ],
    ledgers: Object.fromEntries(Object.entries(versions).map(([repository, tags]) => [repository, ledgerOf(tags)])),
    settled: [],
  };
}

function ledgerOf(tags: Readonly<Record<string, Digest>>): LedgerDocument {
  const builds = Object.entries(tags).map(([version, digest]) => ({
    version,
    digest,
    sourceTag: "latest",
    seen: "2026-11-21T09:30:00Z",
    evidence: { type: "SPDX" as const, attestation: digestOf("document"), predicateType: "https://spdx.dev/Document", platforms: [] },
  }));
  return { image: "up.example.org/team/app", builds, tags, pinned: {}, retired: {} };
}

interface Place {
  readonly registry: TestRegistry;
  readonly client: ControlClient;
  stop(): Promise<void>;
}

/** A registry on a database and a folder that outlive it. */
async function place(): Promise<{ start: () => Promise<Place>; held: () => Promise<Record<string, Digest | null>> }> {
  const database = await createDatabase();
  ended.push(() => database.drop());
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-copies-"));
  ended.push(() => rm(folder, { recursive: true, force: true }));
  return {
    async start() {
      const registry = await startTestRegistry({ database: { url: database.url }, blobs: { folder: join(folder, "blobs") } });
      const client = new ControlClient({ url: registry.url, token: adminToken });
      let stopped: Promise<void> | undefined;
      const stop = () => (stopped ??= client.close().then(() => registry.stop()));
      ended.push(stop);
      return { registry, client, stop };
    },
    async held() {
      const client = new Client({ connectionString: database.url });
      await client.connect();
      try {
        const { rows } = await client.query<{ tag: string; held: Digest | null }>("SELECT tag, held FROM ledger");
        return Object.fromEntries(rows.map(({ tag, held }) => [tag, held]));
      } finally {
        await client.end();
      }
    },
  };
}

test("a copy that a restart interrupted is made after it", async () => {
  await startUpstream();
  const { manifest } = upstream.addImage("team/app", undefined, Buffer.from("layer"));
  upstream.script("/blobs/", { kind: "silent" });
  const { start, held } = await place();
  const first = await start();
  await first.client.publish(request(1, { "up/team/app": { "1.0": manifest } }));
  await eventually(() => expect(upstream.asked("/blobs/")).not.toEqual([]));
  await first.stop();
  expect(await held()).toEqual({ "1.0": null });
  upstream.behave();
  await start();
  await eventually(async () => expect(await held()).toEqual({ "1.0": manifest }));
});

test("what upstream does not have any longer is named, and not asked for at every publish", async () => {
  await startUpstream();
  const whole = upstream.addImage("team/app", undefined, Buffer.from("whole"));
  const torn = upstream.addImage("team/app", undefined, Buffer.from("torn"));
  upstream.removeBlob("team/app", torn.layer);
  const gone = digestOf("a manifest that upstream deleted");
  const { start, held } = await place();
  const { registry, client } = await start();
  await client.publish(request(1, { "up/team/app": { "1.0": whole.manifest, "2.0": gone, "3.0": torn.manifest } }));
  const view = async () => (await client.versions("up/team/app")).notCopied?.toSorted((a, b) => (a.tags[0]! < b.tags[0]! ? -1 : 1));
  await eventually(async () => expect(await view()).toHaveLength(2));
  await eventually(async () => expect(await held()).toEqual({ "1.0": whole.manifest, "2.0": null, "3.0": null }));
  expect(await view()).toMatchObject([
    { digest: gone, tags: ["2.0"], message: `up/team/app ${gone} is not cached, and upstream does not have it` },
    {
      digest: torn.manifest,
      tags: ["3.0"],
      message: `upstream does not have all of up/team/app@${torn.manifest} any longer: ${torn.layer}`,
    },
  ]);
  for (const { retryAt } of (await view()) ?? []) expect(Date.parse(retryAt)).toBeGreaterThan(Date.now() + 3_600_000);
  // The next publish brings another version: a whole round goes by.
  const next = upstream.addImage("team/app", undefined, Buffer.from("next"));
  await client.publish(request(2, { "up/team/app": { "1.0": whole.manifest, "2.0": gone, "3.0": torn.manifest, "4.0": next.manifest } }));
  await eventually(async () => expect(await held()).toMatchObject({ "4.0": next.manifest }));
  expect([upstream.asked(gone), upstream.asked(torn.layer, "GET")].map((asked) => asked.length)).toEqual([1, 1]);
  const warnings = registry.log.filter(({ msg, level }) => msg === "a version could not be copied" && level === 40);
  expect([warnings.length, new Set(warnings.map(({ digest }) => digest))]).toEqual([2, new Set([gone, torn.manifest])]);
  // Whoever leaves service is no longer missing.
  await client.publish(request(3, { "up/team/app": { "1.0": whole.manifest } }));
  await eventually(async () => expect(await client.versions("up/team/app")).not.toHaveProperty("notCopied"));
});

test("copy: Reference stays a reference, evidence that cannot be read holds nothing up, and a build that is held is held by every tag", async () => {
  await startUpstream();
  const image = upstream.addImage("team/app", undefined, Buffer.from("layer"));
  const reference = upstream.addImage("team/reference", undefined, Buffer.from("other"));
  upstream.script("\\.att", { kind: "body", body: "<html>log in</html>", contentType: "text/html" });
  const { start, held } = await place();
  const { client } = await start();
  await client.publish(request(1, { "up/team/app": { "1.0": image.manifest }, "up/team/reference": { "9.0": reference.manifest } }));
  await eventually(async () => expect(await held()).toEqual({ "1.0": image.manifest, "9.0": null }));
  expect(upstream.asked("/team/reference/")).toEqual([]);
  const asked = upstream.seen.length;
  await client.publish(request(2, { "up/team/app": { "1.0": image.manifest, "1": image.manifest } }));
  expect(await held()).toEqual({ "1.0": image.manifest, "1": image.manifest, "9.0": null });
  expect(upstream.seen).toHaveLength(asked);
});

test("an upstream whose blobs drip holds up its own copies, one at a time, and not those of another", async () => {
  await startUpstream();
  const dripping = await ScriptedUpstream.start();
  ended.push(() => dripping.stop());
  const stuck = ["a", "b", "c"].map((text) => dripping.addImage("team/app", undefined, Buffer.from(text.repeat(1000))));
  dripping.script("/blobs/", { kind: "slow", bytesPerSecond: 2, chunk: 1 });
  const drip = resource("Upstream", "drip", { url: dripping.url, insecure: true, prefix: "drip" });
  const versions = { "drip/team/app": Object.fromEntries(stuck.map(({ manifest }, index) => [`${index}.0`, manifest])) };
  const { start, held } = await place();
  const { client } = await start();
  await client.publish(request(1, versions, [drip]));
  await eventually(() => expect(dripping.asked("/blobs/")).not.toEqual([]));
  const image = upstream.addImage("team/app", undefined, Buffer.from("layer"));
  await client.publish(request(2, { ...versions, "up/team/app": { "9.0": image.manifest } }, [drip]));
  await eventually(async () => expect(await held()).toEqual({ "0.0": null, "1.0": null, "2.0": null, "9.0": image.manifest }));
  const manifests = new Set(dripping.asked("/manifests/sha256:").map(({ path }) => path));
  expect(manifests.size).toBe(1);
});

test("an upstream that is away is asked again after a pause, which grows", async () => {
  await startUpstream();
  const { manifest } = upstream.addImage("team/app", undefined, Buffer.from("layer"));
  upstream.script("/manifests/", { kind: "status", status: 503 });
  const proxy = await startProxy();
  ended.push(() => proxy.stop());
  proxy.configuration.publish({ up: upstreamSpec(upstream.url, "up") });
  await proxy.rows("INSERT INTO repositories (name, upstream) VALUES ('up/team/app', 'default/up')");
  await proxy.rows("INSERT INTO ledger (repository, tag, digest, version) SELECT id, '1.0', $1, '1.0' FROM repositories", [manifest]);
  const { database, configuration, prefetch, pull: source } = proxy;
  const logger = pino({ level: "debug" }, { write: (line: string) => proxy.log.push(line) });
  const copies = new VersionCopies({
    database,
    configuration,
    source,
    prefetch,
    logger,
    pauses: { first: 20, most: 80, gone: 1_000_000, look: 50 },
  });
  copies.start();
  ended.push(() => copies.stop());
  const failures = () => proxy.log.map((line) => JSON.parse(line) as Failed).filter(({ msg }) => msg === "a version could not be copied");
  await eventually(() => expect(failures().length).toBeGreaterThan(4));
  const pauses = failures().map(({ time, retryAt }) => Date.parse(retryAt) - time);
  for (const [index, least] of [20, 40, 80, 80].entries()) expect(pauses[index]).toBeGreaterThan(least - 20);
  upstream.behave();
  await eventually(async () => expect(await proxy.rows("SELECT held FROM ledger")).toEqual([{ held: manifest }]));
  expect(copies.failed("up/team/app")).toEqual([]);

  // As an audit does that lets a copy go, perhaps in another process.
  await proxy.rows("UPDATE ledger SET held = NULL");
  await eventually(async () => expect(await proxy.rows("SELECT held FROM ledger")).toEqual([{ held: manifest }]));
});

interface Failed {
  readonly msg: string;
  readonly time: number;
  readonly retryAt: string;
}
