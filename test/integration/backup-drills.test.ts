// Restoring, drilled: a database of an earlier moment, a lost database, a bucket or folder of an earlier moment. In each what was acknowledged before
// the backup is there, what is lost is named, and the collector eats nothing. Real PostgreSQL, folder and S3, over HTTP.

import { randomBytes } from "node:crypto";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { CopyObjectCommand, ListObjectsV2Command, S3Client } from "@aws-sdk/client-s3";
import { pino } from "pino";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { stringify } from "yaml";

import type { AdoptReport } from "../../src/api/control/audit.ts";
import { ControlClient } from "../../src/client/control-client.ts";
import { defaultSettings, type Settings } from "../../src/config/settings.ts";
import { digestOf } from "../../src/domain/digest.ts";
import { mediaTypes } from "../../src/domain/media-types.ts";
import { openBlobStore } from "../../src/registry/blobs/open-store.ts";
import { startRegistry } from "../../src/registry/main.ts";
import type { RegistryOptions } from "../../src/registry/options.ts";
import { eventually } from "../support/eventually.ts";
import { send } from "../support/http.ts";
import { describe as described, imageOf } from "../support/own-registry.ts";
import { copyDatabase, createDatabase } from "../support/postgres.ts";
import { adminToken, TestSecrets } from "../support/registry.ts";
import { bucketOf, credentialsOf } from "../support/registry-process.ts";
import { startS3Service, type S3Service } from "../support/s3-service.ts";
import { wharfinger } from "../support/standalone.ts";

type Blobs = RegistryOptions["blobs"];

let s3: S3Service;
let folder: string;
let places = 0;
const closing: (() => Promise<unknown>)[] = [];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "wharfinger-drills-"));
  s3 = await startS3Service();
});
afterEach(async () => {
  for (const step of closing.splice(0).reverse()) await step();
});
afterAll(async () => {
  await s3.stop();
  await rm(folder, { recursive: true, force: true });
});

// What nothing names goes as soon as its lease is over: whatever may be eaten, is.
const gc = { ...defaultSettings.gc, lease: 4_000, trashFor: 0, doomDelay: 0, interval: 100 };
const settings: Settings = { ...defaultSettings, gc, backup: { interval: 0, keep: 7 } };

interface Started {
  readonly url: string;
  readonly log: () => string;
  readonly control: ControlClient;
  stop(): Promise<void>;
}

async function start(database: string, blobs: Blobs, more: Partial<RegistryOptions> = {}): Promise<Started> {
  const lines: string[] = [];
  const registry = await startRegistry({
    database: { url: database },
    blobs,
    listen: { host: "127.0.0.1", port: 0 },
    settings,
    secrets: new TestSecrets(),
    adminToken,
    openOnLoopback: true,
    allowAnonymous: false,
    version: "0.0.0-test",
    logger: pino({ level: "info" }, { write: (line: string) => lines.push(line) }),
    grace: 2_000,
    ...more,
  });
  const control = new ControlClient({ url: registry.url, token: adminToken });
  let stopped: Promise<void> | undefined;
  const stop = () => (stopped ??= control.close().then(() => registry.stop()));
  closing.push(stop);
  return { url: registry.url, log: () => lines.join(""), control, stop };
}

async function database(): Promise<string> {
  const made = await createDatabase();
  closing.push(() => made.drop());
  return made.url;
}

/** The database as it is now, for later: nobody may be connected. */
async function backUp(url: string): Promise<string> {
  const made = await copyDatabase(url);
  closing.push(() => made.drop());
  return made.url;
}

interface Image {
  readonly config: Buffer;
  readonly layer: Buffer;
}

const image = (): Image => ({ config: randomBytes(40), layer: randomBytes(3_000) });

/** `wharfinger restore-metadata --settings FILE`. */
async function restoreByCommand(url: string, blobs: Blobs): ReturnType<typeof wharfinger> {
  const file = join(folder, `settings-${places++}.yaml`);
  const storage = "folder" in blobs ? { folder: blobs.folder } : { s3: bucketOf(blobs.s3) };
  await writeFile(file, stringify({ database: { url }, storage, spool: { folder } }));
  return wharfinger(["restore-metadata", "--settings", file], { env: credentialsOf(s3.settings) });
}

const manifestOf = ({ config, layer }: Image) =>
  imageOf(described("application/vnd.oci.image.config.v1+json", config), [described("application/vnd.oci.image.layer.v1.tar", layer)]);

async function push(url: string, repository: string, pushed: Image): Promise<void> {
  const { config, layer } = pushed;
  for (const bytes of [config, layer]) {
    const digest = digestOf(bytes);
    if ((await send(url, "HEAD", `/v2/${repository}/blobs/${digest}`)).status === 200) continue; // as every client does
    const reply = await send(url, "POST", `/v2/${repository}/blobs/uploads/?digest=${digest}`, { body: bytes });
    expect(reply.status).toBe(201);
  }
  const body = manifestOf(pushed);
  const reply = await send(url, "PUT", `/v2/${repository}/manifests/v1`, { body, headers: { "content-type": mediaTypes.ociManifest } });
  expect(reply.status).toBe(201);
}

const remove = async (url: string, repository: string, pushed: Image) =>
  expect((await send(url, "DELETE", `/v2/${repository}/manifests/${digestOf(manifestOf(pushed))}`)).status).toBe(202);

/** Whether every byte of the image comes back. */
async function isWhole(url: string, repository: string, { config, layer }: Image): Promise<boolean> {
  if ((await send(url, "GET", `/v2/${repository}/manifests/v1`)).status !== 200) return false;
  for (const bytes of [config, layer]) {
    const reply = await send(url, "GET", `/v2/${repository}/blobs/${digestOf(bytes)}`).catch(() => undefined);
    if (reply?.status !== 200 || !reply.body.equals(bytes)) return false;
  }
  return true;
}

async function keysOf(blobs: Blobs): Promise<string[]> {
  const store = await openBlobStore(blobs, { lowWaterBytes: 0 });
  const keys: string[] = [];
  for await (const { key } of store.list()) keys.push(key);
  await store.close();
  return keys.sort();
}

async function adopt({ control }: Started): Promise<AdoptReport> {
  let report: AdoptReport | undefined;
  for await (const line of control.adopt()) if ("report" in line) report = line.report;
  return report!;
}

const pauses = async ({ control }: Started) => (await control.gc()).paused.map(({ reason }) => reason);

/** Every invariant holds; objects of which nobody knows are the one thing that is said. */
async function audited({ control }: Started): Promise<string[]> {
  for await (const line of control.audit({ deep: true }))
    if ("report" in line)
      return line.report.findings.map(({ subject, message }) => (message.includes("does not know") ? "unknown" : `${subject} ${message}`));
  return ["no report"];
}

async function objectsAre(running: Started, live: number): Promise<void> {
  await eventually(async () => {
    const { queue, doomed, swept, live: found } = await running.control.gc();
    expect({ queue, doomed, swept, live: found }).toEqual({ queue: 0, doomed: 0, swept: 0, live });
  });
}

interface Kind {
  readonly kind: string;
  readonly place: () => Blobs;
  /** The same bytes in another place. */
  readonly copy: (from: Blobs) => Promise<Blobs>;
}

const kinds: readonly Kind[] = [
  {
    kind: "folder",
    place: () => ({ folder: join(folder, `blobs-${places++}`) }),
    async copy(from) {
      const to = join(folder, `blobs-${places++}`);
      await cp((from as { folder: string }).folder, to, { recursive: true });
      return { folder: to };
    },
  },
  {
    kind: "S3",
    place: () => ({ s3: { ...s3.settings, prefix: `drill-${places++}/` } }),
    async copy(from) {
      const { bucket, prefix, credentials, endpoint = "", region } = (from as { s3: S3Service["settings"] }).s3;
      if (credentials === undefined || typeof credentials === "function") throw new Error("no credentials");
      const to = `drill-${places++}/`;
      const client = new S3Client({ endpoint, region, forcePathStyle: true, credentials });
      const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix }));
      for (const { Key = "" } of Contents)
        await client.send(
          new CopyObjectCommand({ Bucket: bucket, Key: `${to}${Key.slice(prefix.length)}`, CopySource: `${bucket}/${Key}` }),
        );
      client.destroy();
      return { s3: { ...s3.settings, prefix: to } };
    },
  },
];

describe.each(kinds)("$kind", ({ place, copy }) => {
  test("the database was restored to an earlier moment", { timeout: 180_000 }, async () => {
    const [kept, deleted, again, later] = [image(), image(), image(), image()];
    const blobs = place();
    const url = await database();
    let running = await start(url, blobs);
    for (const [name, pushed] of [
      ["kept", kept],
      ["deleted", deleted],
      ["again", again],
    ] as const)
      await push(running.url, `team/${name}`, pushed);
    await running.stop();
    const backup = await backUp(url);

    running = await start(url, blobs);
    await remove(running.url, "team/deleted", deleted);
    await remove(running.url, "team/again", again);
    await objectsAre(running, 2); // collected, swept: their bytes are gone for good
    await push(running.url, "team/again", again); // the same bytes under new keys
    await push(running.url, "team/later", later);
    await running.stop();

    running = await start(backup, blobs);
    expect(running.log()).toMatch(/the database is at \d+ and its marker in the store at \d+: the database is an older copy/);
    expect(await pauses(running)).toEqual(["database-behind"]);
    const ready = await send(running.url, "GET", "/readyz", { headers: { authorization: `Bearer ${adminToken}` } });
    expect([ready.status, ready.body.toString()]).toEqual([200, expect.stringContaining("wharfinger audit --adopt")]);
    const before = await keysOfRunning(running, blobs);
    expect(await isWhole(running.url, "team/kept", kept)).toBe(true);
    expect(await isWhole(running.url, "team/again", again)).toBe(false);

    const report = await adopt(running);
    expect(report.adopted.map(({ digest }) => digest).sort()).toEqual([again.config, again.layer].map((bytes) => digestOf(bytes)).sort());
    expect(report.lost.map(({ digest }) => digest).sort()).toEqual([deleted.config, deleted.layer].map((bytes) => digestOf(bytes)).sort());
    expect(report.lost.map(({ images }) => images)).toEqual([["team/deleted:v1"], ["team/deleted:v1"]]);
    expect(report.unknown).toMatchObject({ objects: 2, bytes: later.config.byteLength + later.layer.byteLength });
    expect(running.log()).toContain("bytes that were pushed are lost; push these images again");
    expect(await pauses(running)).toEqual([]);
    expect(await isWhole(running.url, "team/again", again)).toBe(true);

    await objectsAre(running, 4); // the collector has looked at everything there is
    expect(await keysOfRunning(running, blobs)).toEqual(before);
    await push(running.url, "team/deleted", deleted);
    await push(running.url, "team/later", later);
    for (const [name, pushed] of [
      ["kept", kept],
      ["deleted", deleted],
      ["again", again],
      ["later", later],
    ] as const)
      expect([name, await isWhole(running.url, `team/${name}`, pushed)]).toEqual([name, true]);
    expect(await audited(running)).toEqual(["unknown", "unknown"]);
    await running.stop();
    running = await start(backup, blobs);
    expect(await pauses(running)).toEqual([]);

    async function keysOfRunning(started: Started, where: Blobs): Promise<string[]> {
      if ("s3" in where) return keysOf(where);
      // A folder is one process's: what is asked is asked between two.
      await started.stop();
      const keys = await keysOf(where);
      running = await start(backup, where);
      return keys;
    }
  });

  test("the database was lost: a snapshot brings it back, and the next loss too", { timeout: 180_000 }, async () => {
    const [kept, later] = [image(), image()];
    const blobs = place();
    let running = await start(await database(), blobs);
    await push(running.url, "team/kept", kept);
    let name = "";
    for await (const line of running.control.backup()) if ("snapshot" in line) name = line.snapshot.name;
    const headers = { authorization: `Bearer ${adminToken}` };
    const metrics = (await send(running.url, "GET", "/metrics", { headers })).body.toString();
    expect(Number(/^wharfinger_snapshot_age_seconds (.+)$/m.exec(metrics)?.[1])).toBeLessThan(3600);
    await push(running.url, "team/later", later);
    await running.stop();

    const empty = await database();
    await expect(start(empty, blobs, { commandFlags: " --settings s.yaml" })).rejects.toThrow(
      /^The database is empty, and the .* belongs to the installation .*`npx wharfinger restore-metadata --settings s\.yaml`/,
    );
    // Refused again as long as nothing was done; and done again after it failed in the middle.
    await expect(start(empty, blobs)).rejects.toThrow("The database is empty");
    const restored = await restoreByCommand(empty, blobs);
    expect([restored.code, restored.stderr]).toEqual([0, expect.stringContaining(`Restored ${name}, taken at `)]);
    const twice = await restoreByCommand(empty, blobs);
    expect([twice.code, twice.stderr]).toEqual([1, expect.stringContaining("The database is not empty")]);

    running = await start(empty, blobs);
    expect(await pauses(running)).toEqual(["database-behind"]);
    expect(await isWhole(running.url, "team/kept", kept)).toBe(true);
    expect(await adopt(running)).toMatchObject({ adopted: [], forgotten: [], lost: [], unknown: { objects: 2 } });
    expect(await pauses(running)).toEqual([]);
    await push(running.url, "team/later", later);
    expect(await isWhole(running.url, "team/later", later)).toBe(true);
    expect(await isWhole(running.url, "team/kept", kept)).toBe(true);
    expect(await audited(running)).toEqual(["unknown", "unknown"]);
  });

  test("the store was restored to an earlier moment, and then lost", { timeout: 180_000 }, async () => {
    const [kept, deleted, later] = [image(), image(), image()];
    const blobs = place();
    const url = await database();
    let running = await start(url, blobs);
    await push(running.url, "team/kept", kept);
    await push(running.url, "team/deleted", deleted);
    await running.stop();
    const earlier = await copy(blobs);
    running = await start(url, blobs);
    await remove(running.url, "team/deleted", deleted);
    await push(running.url, "team/later", later);
    await objectsAre(running, 4);
    await running.stop();

    running = await start(url, earlier);
    expect(running.log()).toMatch(/the store's marker is at \d+, and was at \d+: the store is an older copy/);
    expect(await pauses(running)).toEqual(["store-behind"]);
    expect(await isWhole(running.url, "team/kept", kept)).toBe(true);
    expect(await isWhole(running.url, "team/later", later)).toBe(false);
    const report = await adopt(running);
    expect(report.lost.map(({ images }) => images)).toEqual([["team/later:v1"], ["team/later:v1"]]);
    expect(report.unknown).toMatchObject({ objects: 2 }); // of the image that was deleted since: back with the store
    expect(await pauses(running)).toEqual([]);
    await push(running.url, "team/later", later);
    expect(await isWhole(running.url, "team/later", later)).toBe(true);
    expect(await audited(running)).toEqual(["unknown", "unknown"]);
    await running.stop();

    const nothing = place();
    await expect(start(url, nothing)).rejects.toThrow(/has no marker of this installation.*--accept-store/);
    running = await start(url, nothing, { acceptStore: true });
    expect((await adopt(running)).lost.flatMap(({ images }) => images).sort()).toEqual([
      "team/kept:v1",
      "team/kept:v1",
      "team/later:v1",
      "team/later:v1",
    ]);
    // The store that was thought to be lost is found: what it has is adopted, nothing was thrown away.
    await running.stop();
    running = await start(url, earlier, { acceptStore: true });
    expect((await adopt(running)).adopted).toHaveLength(4);
    for (const [name, pushed] of [
      ["kept", kept],
      ["later", later],
    ] as const)
      expect(await isWhole(running.url, `team/${name}`, pushed)).toBe(true);
  });
});
