// The audit on a real bucket, and what it mends of copies whose upstream is there (design: storage.md, G4).

import { randomBytes } from "node:crypto";

import { afterEach, expect, test } from "vitest";

import type { AuditReport } from "../../src/api/control/audit.ts";
import { digestOf } from "../../src/domain/digest.ts";
import type { AuditContext } from "../../src/registry/services/upkeep/audit-step.ts";
import { audit } from "../../src/registry/services/upkeep/audit.ts";
import { eventually } from "../support/eventually.ts";
import { bodyOf, longTimes, noTimes, openOwnRegistry, pushBlob, pusher, pushImage, reader } from "../support/own-registry.ts";
import { readAll, startProxy, upstreamSpec } from "../support/proxy.ts";
import { ScriptedUpstream } from "../support/scripted-upstream.ts";

const ended: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ended.splice(0).reverse()) await end();
});

async function run(
  context: Pick<AuditContext, "database" | "store" | "now">,
  options: { deep: boolean; repair?: boolean },
): Promise<AuditReport> {
  let report: AuditReport | undefined;
  const signal = new AbortController().signal;
  for await (const line of audit({ ...context, signal }, options)) if ("report" in line) report = line.report;
  return report!;
}

test("a bucket with tails, unfinished uploads and objects of other purposes has no findings; what is lost, wrong or unknown is found", async () => {
  const registry = await openOwnRegistry({ blobStore: "s3" });
  ended.push(() => registry.close());
  await registry.setTimes(longTimes);
  const { push, store, database } = registry;
  const image = await pushImage(push, "team-a/app", ["v1"]);
  // A tail is an object that is listed as finished; parts are an upload without a size.
  for (const bytes of [Buffer.from("half"), randomBytes(9 * 1024 * 1024)]) {
    const upload = await push.startUpload("team-a/app", pusher, { algorithm: "sha256" });
    await push.append("team-a/app", upload.id, pusher, { body: bodyOf(bytes) });
  }
  await store.named.put("backup/a-snapshot", bodyOf("not a blob"));
  expect((await run(registry, { deep: true })).findings).toEqual([]);

  const unknown = await store.create(async () => undefined);
  await unknown.write([randomBytes(8 * 1024 * 1024)]);
  await unknown.suspend();
  await unknown.close();
  const [lost] = await registry.rows<{ key: string }>("SELECT object_key AS key FROM blobs WHERE digest = $1", [image.layer]);
  await store.delete([lost!.key]);
  const later = () => Date.now() + 8 * 24 * 3_600_000;
  const { findings } = await run({ database, store, now: later }, { deep: true, repair: true });
  expect(findings).toEqual([
    {
      invariant: 4,
      subject: expect.any(String),
      message: "is in the store (unfinished), and the database does not know it",
      repaired: "deleted",
    },
    { invariant: 1, subject: image.layer, message: `has its bytes under ${lost!.key}, which is not in the store` },
  ]);
  expect((await run(registry, { deep: true })).findings).toHaveLength(1);

  // Everything else is on its way in or out, and nothing of it is left when it is out.
  await registry.setTimes(noTimes);
  await pushBlob(push, "team-a/app");
  await registry.rows("UPDATE uploads SET expires_at = now()");
  expect(await registry.collector(noTimes).runOnce()).toMatchObject({ expiredUploads: 2, failed: 0, failedSteps: 0 });
  expect((await run(registry, { deep: true })).findings).toHaveLength(1);
  const keys: string[] = [];
  for await (const { key } of store.list()) keys.push(key);
  expect(keys).toHaveLength(1);
});

test("a cached copy that lost its bytes is forgotten, its version waits for its copy, and the next pull fetches it", async () => {
  const upstream = await ScriptedUpstream.start();
  ended.push(() => upstream.stop());
  const layer = Buffer.from("layer of a version");
  const image = upstream.addImage("team/app", "latest", layer);
  const proxy = await startProxy();
  ended.push(() => proxy.stop());
  proxy.configuration.publish({ up: upstreamSpec(upstream.url, "up") });
  await proxy.prefetch.prefetch({ repository: "up/team/app", reference: image.manifest });
  // Copied as a version: everything of it is held.
  await proxy.rows(
    `WITH held AS (UPDATE manifest_blobs SET held = digest)
     INSERT INTO ledger (repository, tag, digest, version, held) SELECT id, '1.0', $1, '1.0', $1 FROM repositories`,
    [image.manifest],
  );
  await proxy.rows(
    `INSERT INTO ledgers (repository, document, revision) SELECT id, json_build_object('tags', json_build_object('1.0', $1::text)), 'r' FROM repositories`,
    [image.manifest],
  );
  expect((await run(proxy, { deep: true })).findings).toEqual([]);

  const digest = digestOf(layer);
  const keyOf = async () => (await proxy.rows<{ key: string }>("SELECT object_key AS key FROM blobs WHERE digest = $1", [digest]))[0]?.key;
  const key = await keyOf();
  await proxy.store.delete([key!]);
  const finding = { invariant: 1, subject: digest, message: `is a cached copy, and has its bytes under ${key}, which is not in the store` };
  expect((await run(proxy, { deep: true })).findings).toEqual([finding]);
  expect((await run(proxy, { deep: false, repair: true })).findings).toEqual([
    { ...finding, repaired: "forgotten; the next pull fetches it again" },
  ]);
  expect((await run(proxy, { deep: true })).findings).toEqual([]);
  expect(await proxy.rows("SELECT digest, held FROM ledger")).toEqual([{ digest: image.manifest, held: null }]);

  const pulled = await proxy.pull.blob("up/team/app", digest, reader, { head: false });
  expect(await readAll(await pulled.open())).toEqual(layer);
  await eventually(async () => expect(await keyOf()).toEqual(expect.any(String)));
  expect(await keyOf()).not.toBe(key);
});
