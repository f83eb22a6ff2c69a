// What `audit --adopt` does with each kind of object and blob. Whole restores are drilled in test/integration/backup-drills.test.ts.

import { randomBytes } from "node:crypto";

import { pino } from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";

import {
  describe,
  imageOf,
  noTimes,
  openOwnRegistry,
  pushBlob,
  pushImage,
  pushManifest,
  readBlob,
  type OwnRegistry,
} from "../../../../test/support/own-registry.ts";
import type { AdoptReport } from "../../../api/control/audit.ts";
import { digestOf, type Digest } from "../../../domain/digest.ts";
import { adopt, type AdoptOptions } from "./adopt.ts";

let registry: OwnRegistry;
let anew: number;
beforeEach(async () => {
  registry = await openOwnRegistry();
  anew = 0;
});
afterEach(() => registry.close());

const options = (signal = new AbortController().signal): AdoptOptions => ({
  database: registry.database,
  store: registry.store,
  marker: { setAnew: async () => void anew++ },
  signal,
  identity: "admin",
  logger: pino({ level: "silent" }),
});
async function run(): Promise<AdoptReport> {
  let report: AdoptReport | undefined;
  for await (const line of adopt(options())) if ("report" in line) report = line.report;
  return report!;
}
const empty = { adopted: [], forgotten: [], lost: [], unknown: { objects: 0, bytes: 0, keys: [] } };
const keyOf = async (digest: Digest) =>
  (await registry.rows<{ key: string }>("SELECT object_key AS key FROM blobs WHERE digest = $1", [digest]))[0]?.key ?? "";
/** An object of which the database knows nothing. */
async function unknown(bytes: Uint8Array): Promise<string> {
  const writer = await registry.store.create(async () => undefined);
  await writer.write([bytes]);
  return writer.commit(digestOf(bytes));
}
const lose = async (digest: Digest) => registry.store.delete([await keyOf(digest)]);
const stored = async () => {
  const keys: string[] = [];
  for await (const { key } of registry.store.list()) keys.push(key);
  return keys.sort();
};

test("where nothing is wrong nothing is changed, and the collector goes on", async () => {
  const image = await pushImage(registry.push, "team/app", ["v1"]);
  expect(await run()).toEqual({ objects: 2, ...empty });
  expect(anew).toBe(1);
  await readBlob(registry.pull, "team/app", image.layer);
});

test("unknown objects are read only where a blob of their size misses its bytes, and taken only when they hash to it", async () => {
  const image = await pushImage(registry.push, "team/app", ["v1"]);
  const bytes = await readBlob(registry.pull, "team/app", image.layer);
  await lose(image.layer);
  const keys = { right: await unknown(bytes), alike: await unknown(randomBytes(128)), other: await unknown(randomBytes(7)) };
  const opened: string[] = [];
  const open = registry.store.open.bind(registry.store);
  registry.store.open = async (key) => {
    opened.push(key);
    return open(key);
  };
  const report = await run();
  Reflect.deleteProperty(registry.store, "open");
  expect(report).toMatchObject({ adopted: [{ digest: image.layer, key: keys.right }], lost: [], unknown: { objects: 2, bytes: 135 } });
  expect(report.unknown.keys.toSorted()).toEqual([keys.alike, keys.other].sort());
  expect(opened).not.toContain(keys.other);
  expect(await keyOf(image.layer)).toBe(keys.right);
  expect(await readBlob(registry.pull, "team/app", image.layer)).toEqual(bytes);
  expect(await registry.rows("SELECT state FROM objects WHERE key = ANY($1)", [[keys.alike, keys.other]])).toEqual([]);
});

test("a lost blob is named by every image that needs it, through indexes too, and a push brings it back", async () => {
  const image = await pushImage(registry.push, "team/app", ["v1"]);
  const layer = await readBlob(registry.pull, "team/app", image.layer);
  const index = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.index.v1+json",
      manifests: [{ mediaType: image.mediaType, digest: image.digest, size: image.size }],
    }),
  );
  await pushManifest(registry.push, "team/app", index, { tags: ["multi"] });
  for (const blob of [image.config, image.layer])
    await pushBlob(registry.push, "team/other", await readBlob(registry.pull, "team/app", blob));
  await pushManifest(registry.push, "team/other", image.bytes);
  await lose(image.layer);
  const report = await run();
  expect(report.lost).toEqual([{ digest: image.layer, images: ["team/app:multi", "team/app:v1", `team/other@${image.digest}`] }]);
  await expect(readBlob(registry.pull, "team/app", image.layer)).rejects.toMatchObject({ code: "BLOB_UNKNOWN" });
  expect(await registry.rows("SELECT detail->'lost' AS lost FROM activity WHERE action = 'adopt'")).toEqual([{ lost: report.lost }]);

  await pushBlob(registry.push, "team/app", layer);
  await pushManifest(registry.push, "team/app", image.bytes);
  expect(await readBlob(registry.pull, "team/app", image.layer)).toEqual(layer);
  await registry.setTimes(noTimes);
  await registry.rows("UPDATE repository_blobs SET keep_until = now()");
  await registry.collector(noTimes).runOnce();
  expect(await readBlob(registry.pull, "team/app", image.layer)).toEqual(layer); // held again: what nothing holds would be gone
});

test("bytes that turn up after their blob was let go are taken in for every repository that names it", async () => {
  const image = await pushImage(registry.push, "team/app", ["v1"]);
  const layer = await readBlob(registry.pull, "team/app", image.layer);
  const key = await keyOf(image.layer);
  await lose(image.layer);
  expect((await run()).lost).toHaveLength(1);
  expect(await registry.rows("SELECT FROM objects WHERE key = $1", [key])).toEqual([]); // nothing will delete it when it comes back
  const again = await unknown(layer);
  expect(await run()).toMatchObject({ adopted: [{ digest: image.layer, key: again }], lost: [] });
  expect(await readBlob(registry.pull, "team/app", image.layer)).toEqual(layer);
  expect(await registry.rows("SELECT held FROM manifest_blobs WHERE digest = $1", [image.layer])).toEqual([{ held: image.layer }]);
});

test("a size that somebody else states keeps nobody's bytes away", async () => {
  const image = await pushImage(registry.push, "team/app", ["v1"]);
  const layer = await readBlob(registry.pull, "team/app", image.layer);
  const config = randomBytes(8);
  for (const bytes of [config, layer]) await pushBlob(registry.push, "stranger/app", bytes);
  for (const size of [layer.byteLength - 1, layer.byteLength + 1]) {
    const stated = { ...describe("application/vnd.oci.image.layer.v1.tar", layer), size };
    await pushManifest(registry.push, "stranger/app", imageOf(describe("c/c", config), [stated]));
  }
  await lose(image.layer);
  await run();
  const again = await unknown(layer);
  expect(await run()).toMatchObject({ adopted: [{ digest: image.layer, key: again }], unknown: { objects: 0 } });
  expect(await readBlob(registry.pull, "team/app", image.layer)).toEqual(layer);
});

test("who only named a digest gains nothing when its bytes turn up", async () => {
  const image = await pushImage(registry.push, "team/app", ["v1"]);
  const layer = await readBlob(registry.pull, "team/app", image.layer);
  const secret = randomBytes(777);
  const config = randomBytes(8);
  await pushBlob(registry.push, "stranger/app", config);
  const absent = [secret, layer].map((bytes) => describe("application/vnd.oci.image.layer.nondistributable.v1.tar", bytes));
  await pushManifest(registry.push, "stranger/app", imageOf(describe("c/c", config), absent));
  await lose(image.layer);
  const { lost } = await run();

  const [unseen, again] = [await unknown(secret), await unknown(layer)];
  expect(await run()).toMatchObject({ adopted: [{ digest: image.layer, key: again }], unknown: { objects: 1, keys: [unseen] } });
  expect(await readBlob(registry.pull, "team/app", image.layer)).toEqual(layer);
  for (const digest of [image.layer, digestOf(secret)])
    await expect(readBlob(registry.pull, "stranger/app", digest)).rejects.toMatchObject({ code: "BLOB_UNKNOWN" });
  expect(lost).toEqual([{ digest: image.layer, images: ["team/app:v1"] }]);
});

test("a cached blob without bytes is forgotten, and its version tag is to be copied again", async () => {
  const digest = await pushBlob(registry.push, "hub/app");
  await registry.rows("UPDATE repositories SET upstream = 'default/hub'");
  await registry.rows("UPDATE blobs SET cached = true");
  await registry.rows("INSERT INTO blob_origins (digest, upstream) VALUES ($1, 'default/hub')", [digest]);
  await lose(digest);
  expect(await run()).toMatchObject({ forgotten: [digest], lost: [] });
  expect(await registry.rows("SELECT FROM blobs")).toEqual([]);
});

test("what is on its way in or out is left alone", async () => {
  const bytes = randomBytes(50);
  const digest = await pushBlob(registry.push, "team/app", bytes);
  await pushManifest(
    registry.push,
    "team/app",
    Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: "application/vnd.oci.image.manifest.v1+json",
        config: { mediaType: "c/c", digest, size: 50 },
        layers: [],
      }),
    ),
  );
  await lose(digest);
  const [writing, silent, doomed] = [await unknown(bytes), await unknown(bytes), await unknown(bytes)];
  await registry.rows("INSERT INTO objects (key, state) VALUES ($1, 'uploading')", [writing]);
  await registry.rows("INSERT INTO objects (key, state, doomed_at) VALUES ($1, 'doomed', now())", [doomed]);
  expect(await run()).toMatchObject({ adopted: [{ digest, key: silent }], unknown: { objects: 0 } });
  expect(await registry.rows("SELECT state FROM objects WHERE key = ANY($1) ORDER BY state", [[writing, doomed]])).toEqual([
    { state: "doomed" },
    { state: "uploading" },
  ]);
  // A writer that was silent since the backup: to the restored database it never ended.
  await lose(digest);
  await registry.rows("UPDATE objects SET touched_at = now() - interval '1 hour' WHERE key = $1", [writing]);
  expect((await run()).adopted).toEqual([{ digest, key: writing }]);
});

test("nothing is deleted in the store, and a run that is cut off leaves the collector paused", async () => {
  const image = await pushImage(registry.push, "team/app", ["v1"]);
  await lose(image.layer);
  await unknown(randomBytes(9));
  const before = await stored();
  const stop = new AbortController();
  stop.abort(new Error("the client went away"));
  await expect(adopt(options(stop.signal)).next()).rejects.toThrow("the client went away");
  expect(anew).toBe(0);
  await run();
  expect(await stored()).toEqual(before);
});
