import { randomBytes } from "node:crypto";

import { afterAll, beforeAll, beforeEach, describe as describeTests, expect, test, vi } from "vitest";

import {
  deletionContext,
  describe,
  imageOf,
  indexOf,
  longTimes,
  openOwnRegistry,
  pushBlob,
  pusher,
  pushImage,
  pushManifest,
  reader,
  unprotected,
  type OwnRegistry,
} from "../../../../test/support/own-registry.ts";
import type { DeleteRequest } from "../../../api/control/deletion.ts";
import { digestOf, type Digest } from "../../../domain/digest.ts";
import { mediaTypes } from "../../../domain/media-types.ts";
import { endGcPauses, pauseGc } from "../../metadata/gc-pauses.ts";
import { deleteImage } from "./delete-image.ts";
import { restore } from "./restore.ts";

let registry: OwnRegistry;
let repository = "";
let number = 0;
beforeAll(async () => {
  registry = await openOwnRegistry();
  await registry.setTimes(longTimes);
});
afterAll(() => registry.close());
beforeEach(() => {
  repository = `team/app-${++number}`;
});

const remove = (request: Omit<DeleteRequest, "repository"> & { repository?: string }, beforeDeletion?: () => Promise<boolean>) =>
  deleteImage(deletionContext(registry, { beforeDeletion }), { repository, ...request }, "admin");
const bring = (request: { repository?: string; tag?: string; digest?: string }) =>
  restore(registry.database, { repository, ...request }, "admin", () => false);
const keysOf = async (digests: readonly Digest[]) =>
  (await registry.rows<{ key: string }>("SELECT object_key AS key FROM blobs WHERE digest = ANY($1)", [digests])).map(({ key }) => key);
async function listed(): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of registry.store.list()) keys.push(key);
  return keys;
}
const layerOf = (bytes: Buffer) => describe("application/vnd.oci.image.layer.v1.tar", bytes);
/** An image of these layers, with a config of its own. */
async function pushLayers(name: string, layers: readonly Buffer[], tags: readonly string[]): Promise<Digest> {
  const config = randomBytes(20);
  for (const bytes of [config, ...layers]) await pushBlob(registry.push, name, bytes);
  const image = imageOf(describe("application/vnd.oci.image.config.v1+json", config), layers.map(layerOf));
  return (await pushManifest(registry.push, name, image, { tags })).digest;
}

describeTests("purge", () => {
  test("deletes nothing in the store when the database turns out to be an older copy after the claim", async () => {
    const image = await pushImage(registry.push, repository, ["v1"]);
    const keys = await keysOf([image.config, image.layer]);
    expect(await remove({ tag: "v1", purge: true }, async () => false)).toMatchObject({ swept: 0, waiting: 2 });
    expect((await listed()).filter((key) => keys.includes(key))).toHaveLength(2);
  });

  test("takes the image with its tags, referrers, leases and bytes at once, and leaves nothing to restore", async () => {
    const image = await pushImage(registry.push, repository, ["v1", "latest"]);
    const sbom = await pushImage(registry.push, repository, [], { subject: describe(mediaTypes.ociManifest, image.bytes) });
    const digests = [image.config, image.layer, sbom.config, sbom.layer];
    const keys = await keysOf(digests);
    // Leased until later, and in the trash from before: deleted and pushed again.
    await registry.push.deleteManifest(repository, { tag: "latest" }, pusher, unprotected);
    const result = await remove({ tag: "v1", purge: true });
    expect(result).toMatchObject({ kept: [], swept: 4, bytes: 320, waiting: 0 });
    expect(result.deleted.toSorted((a, b) => b.tags.length - a.tags.length)).toEqual([
      { digest: image.digest, tags: ["v1"] },
      { digest: sbom.digest, tags: [] },
    ]);
    expect(result.trash).toEqual([{ repository, digest: image.digest, tags: ["latest"] }]);
    expect((await listed()).filter((key) => keys.includes(key))).toEqual([]);
    expect(await registry.rows("SELECT FROM objects WHERE key = ANY($1)", [keys])).toEqual([]);
    expect(await registry.rows("SELECT FROM repository_blobs WHERE digest = ANY($1)", [digests])).toEqual([]);
    await expect(registry.pull.blob(repository, image.layer, reader, { head: false })).rejects.toMatchObject({ code: "BLOB_UNKNOWN" });
    await expect(bring({ tag: "v1" })).rejects.toMatchObject({ code: "NOT_FOUND" });
    await expect(bring({ digest: image.digest })).rejects.toMatchObject({ code: "NOT_FOUND" });
    await expect(remove({ tag: "v1", purge: true })).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  test("names the layers that something else needs, and they stay", async () => {
    const [shared, elsewhere, secret] = [randomBytes(30), randomBytes(30), randomBytes(30)];
    const digest = await pushLayers(repository, [shared, elsewhere, secret], ["leaked"]);
    const beside = await pushLayers(repository, [shared], ["beside"]);
    const other = await pushLayers(`${repository}-b`, [elsewhere], ["other"]);
    const result = await remove({ digest, purge: true });
    expect(result).toMatchObject({ deleted: [{ digest, tags: ["leaked"] }], swept: 2, waiting: 0 });
    expect(result.kept.toSorted((a, b) => (a.holders[0]! < b.holders[0]! ? -1 : 1))).toEqual(
      [
        { digest: digestOf(shared), holders: [`${repository}@${beside}`] },
        { digest: digestOf(elsewhere), holders: [`${repository}-b@${other}`] },
      ].toSorted((a, b) => (a.holders[0]! < b.holders[0]! ? -1 : 1)),
    );
    for (const [name, bytes] of [
      [repository, shared],
      [`${repository}-b`, elsewhere],
    ] as const) {
      expect(await registry.pull.blob(name, digestOf(bytes), reader, { head: true })).toMatchObject({ size: 30 });
    }
    expect(await keysOf([digestOf(secret)])).toEqual([]);
  });

  test("takes the trash along that names the same layers, in every repository, and no other", async () => {
    const [secret, fine] = [randomBytes(30), randomBytes(30)];
    const before = await pushLayers(repository, [secret], ["before"]);
    const elsewhere = await pushLayers(`${repository}-b`, [secret], ["elsewhere"]);
    const harmless = await pushLayers(repository, [fine], ["harmless"]);
    const digest = await pushLayers(repository, [secret], ["leaked"]);
    for (const [name, gone] of [
      [repository, before],
      [`${repository}-b`, elsewhere],
      [repository, harmless],
    ] as const) {
      await registry.push.deleteManifest(name, { digest: gone }, pusher, unprotected);
    }
    const result = await remove({ tag: "leaked", purge: true });
    expect(result.deleted).toEqual([{ digest, tags: ["leaked"] }]);
    expect(result.trash).toEqual([
      { repository, digest: before, tags: ["before"] },
      { repository: `${repository}-b`, digest: elsewhere, tags: ["elsewhere"] },
    ]);
    expect(await keysOf([digestOf(secret)])).toEqual([]);
    await expect(bring({ tag: "before" })).rejects.toMatchObject({ code: "NOT_FOUND" });
    expect(await bring({ tag: "harmless" })).toMatchObject({ restored: [{ digest: harmless }], gone: [] });
  });

  test("goes by what trash names, however its bytes spell it, and not by what they mention", async () => {
    const [secret, fine] = [randomBytes(30), randomBytes(30)];
    const leaked = await pushLayers(repository, [secret], ["leaked"]);
    await pushBlob(registry.push, repository, fine);
    const spelled = imageOf(layerOf(fine), [layerOf(secret)]);
    const escaped = Buffer.from(spelled.toString().replaceAll("sha256:", String.raw`\u0073ha256:`));
    const mentioning = imageOf(layerOf(fine), [], { annotations: { "org.example.not": digestOf(secret) } });
    for (const [bytes, tag] of [
      [escaped, "escaped"],
      [mentioning, "mentioning"],
    ] as const) {
      const { digest } = await pushManifest(registry.push, repository, bytes, { tags: [tag] });
      await registry.push.deleteManifest(repository, { digest }, pusher, unprotected);
    }
    const result = await remove({ digest: leaked, purge: true });
    expect(result.trash).toEqual([{ repository, digest: digestOf(escaped), tags: ["escaped"] }]);
    expect(await keysOf([digestOf(secret)])).toEqual([]);
    expect(await bring({ tag: "mentioning" })).toMatchObject({ gone: [] });
  });

  test("finds what the version before put into the trash by its bytes, as a restore does", async () => {
    const secret = randomBytes(30);
    const before = await pushLayers(repository, [secret], ["before"]);
    const image = await pushImage(registry.push, repository, ["v1"]);
    const sbom = await pushImage(registry.push, repository, [], { subject: describe(mediaTypes.ociManifest, image.bytes) });
    for (const digest of [before, image.digest]) await registry.push.deleteManifest(repository, { digest }, pusher, unprotected);
    await registry.rows("UPDATE trash SET names = NULL");
    expect((await bring({ tag: "v1" })).restored.map(({ digest }) => digest)).toEqual([image.digest, sbom.digest]);
    await pushLayers(repository, [secret], ["leaked"]);
    expect((await remove({ tag: "leaked", purge: true })).trash).toEqual([{ repository, digest: before, tags: ["before"] }]);
  });

  test("takes the children of an index along, but for those with a tag of their own", async () => {
    const [amd64, arm64] = [await pushImage(registry.push, repository, ["v1-amd64"]), await pushImage(registry.push, repository)];
    const index = indexOf([amd64, arm64].map(({ bytes }) => describe(mediaTypes.ociManifest, bytes)));
    const { digest } = await pushManifest(registry.push, repository, index, { tags: ["v1"] });
    const result = await remove({ tag: "v1", purge: true });
    expect(result.deleted).toEqual([
      { digest, tags: ["v1"] },
      { digest: arm64.digest, tags: [] },
    ]);
    expect(result.kept).toEqual([{ digest: amd64.digest, holders: ["the tag v1-amd64"] }]);
    expect(await keysOf([arm64.config, arm64.layer])).toEqual([]);
    expect(await registry.pull.manifest(repository, { tag: "v1-amd64" }, reader, { head: false })).toMatchObject({ digest: amd64.digest });
  });

  test("is refused, and changes nothing, while an index names the image", async () => {
    const child = await pushImage(registry.push, repository);
    const { digest } = await pushManifest(registry.push, repository, indexOf([describe(mediaTypes.ociManifest, child.bytes)]), {
      tags: ["v1"],
    });
    await expect(remove({ digest: child.digest, purge: true })).rejects.toMatchObject({
      code: "CONFLICT",
      message: expect.stringContaining(`the index ${digest}`),
    });
    expect(await keysOf([child.config, child.layer])).toHaveLength(2);
    expect(await registry.rows("SELECT FROM gc_queue WHERE digest = $1 AND review_after <= now()", [child.layer])).toEqual([]);
  });

  test("waits for a collector that came first, and counts what that one deleted", async () => {
    await pushImage(registry.push, repository, ["v1"]);
    const { database } = registry;
    const transaction = database.transaction.bind(database);
    vi.spyOn(database, "transaction").mockImplementationOnce(async (work, options) => {
      const result = await transaction(work, options);
      await registry.collector(longTimes).runOnce();
      return result;
    });
    expect(await remove({ tag: "v1", purge: true })).toMatchObject({ swept: 2, bytes: 160, waiting: 0 });
  });

  test("does not wait for the brake, but for a store that is in doubt: the collector deletes then", async () => {
    const [one, other] = [await pushImage(registry.push, repository, ["one"]), await pushImage(registry.push, repository, ["other"])];
    const keys = await keysOf([other.config, other.layer]);
    await pauseGc(registry.database, "brake", "much");
    expect(await remove({ digest: one.digest, purge: true })).toMatchObject({ swept: 2, waiting: 0 });
    await pauseGc(registry.database, "database-behind", "restored");
    expect(await remove({ digest: other.digest, purge: true })).toMatchObject({ swept: 0, waiting: 2 });
    await endGcPauses(registry.database, ["brake", "database-behind"]);
    // Due at once, long before doomDelay.
    expect(await registry.collector(longTimes).runOnce()).toMatchObject({ failed: 0, failedSteps: 0 });
    expect((await listed()).filter((key) => keys.includes(key))).toEqual([]);
  });
});

test("without purge a tag or a manifest goes as for a client, and can be restored", async () => {
  const image = await pushImage(registry.push, repository, ["v1", "v2"]);
  expect(await remove({ tag: "v1" })).toMatchObject({ deleted: [{ digest: image.digest, tags: ["v1"] }], trash: [], swept: 0 });
  expect(await registry.pull.manifest(repository, { tag: "v2" }, reader, { head: false })).toMatchObject({ digest: image.digest });
  expect(await remove({ digest: image.digest })).toMatchObject({ deleted: [{ digest: image.digest, tags: ["v2"] }] });
  expect(await bring({ digest: image.digest })).toMatchObject({ restored: [{ digest: image.digest, tags: ["v1", "v2"] }], gone: [] });
  await expect(remove({ tag: "nothing" })).rejects.toMatchObject({ code: "NOT_FOUND" });
  await expect(remove({ tag: "v1", digest: image.digest })).rejects.toMatchObject({ code: "INVALID" });
  await expect(remove({ repository: "nobody/here", tag: "v1" })).rejects.toMatchObject({ code: "NOT_FOUND" });
});
