// A rolling upgrade: the version before serves, this one migrates under it, both serve beside each other, and the older one goes.

import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readdir, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { defaultSettings } from "../../src/config/settings.ts";
import { digestOf, type Digest } from "../../src/domain/digest.ts";
import { mediaTypes } from "../../src/domain/media-types.ts";
import { Database } from "../../src/registry/metadata/database.ts";
import { eventually } from "../support/eventually.ts";
import { send } from "../support/http.ts";
import { describe as described, imageOf } from "../support/own-registry.ts";
import { createDatabase, type TestDatabase } from "../support/postgres.ts";
import { previousVersion, type PreviousVersion } from "../support/previous.ts";
import { publishFirst, startTestRegistry, type TestRegistry } from "../support/registry.ts";

/** What is not held is collected soon, and not while it is being pushed. */
const times = { lease: 6_000, trashFor: 0, doomDelay: 0, interval: 200, uploadAbandonedAfter: 60_000 };

let database: TestDatabase;
let direct: Database;
let folder: string;
let previous: PreviousVersion;
let older: Awaited<ReturnType<PreviousVersion["serve"]>>;
let newer: TestRegistry;

beforeAll(async () => {
  [database, previous] = await Promise.all([createDatabase(), previousVersion()]);
  folder = await mkdtemp(join(tmpdir(), "wharfinger-upgrade-"));
  direct = new Database({ url: database.url, connections: 2 });
  // A folder is one process's, so each has its own, around the same bytes: what a bucket is to pods.
  for (const part of ["objects", "uploading", "marker"]) {
    await mkdir(join(folder, "newer", part), { recursive: true });
    await mkdir(join(folder, "older"), { recursive: true });
    await symlink(join(folder, "newer", part), join(folder, "older", part));
  }
  older = await previous.serve({ databaseUrl: database.url, folder: join(folder, "older"), gc: times });
});
afterAll(async () => {
  await newer?.stop();
  await direct?.close();
  await database?.drop();
  await previous?.remove();
  if (folder !== undefined) await rm(folder, { recursive: true, force: true });
});

interface Image {
  readonly digest: Digest;
  readonly config: Buffer;
  readonly layer: Buffer;
}

async function push(url: string, tag: string, layer = randomBytes(64)): Promise<Image> {
  const config = randomBytes(32);
  for (const bytes of [config, layer]) {
    expect((await send(url, "POST", `/v2/team/app/blobs/uploads/?digest=${digestOf(bytes)}`, { body: bytes })).status).toBe(201);
  }
  const body = imageOf(described("application/vnd.oci.image.config.v1+json", config), [
    described("application/vnd.oci.image.layer.v1.tar", layer),
  ]);
  const headers = { "content-type": mediaTypes.ociManifest };
  expect((await send(url, "PUT", `/v2/team/app/manifests/${tag}`, { body, headers })).status).toBe(201);
  return { digest: digestOf(body), config, layer };
}

async function expectWhole(url: string, tag: string, { digest, config, layer }: Image): Promise<void> {
  const answer = await send(url, "GET", `/v2/team/app/manifests/${tag}`);
  expect([answer.status, answer.headers["docker-content-digest"]]).toEqual([200, digest]);
  for (const bytes of [config, layer]) expect((await send(url, "GET", `/v2/team/app/blobs/${digestOf(bytes)}`)).body).toEqual(bytes);
}

const drop = async (url: string, { digest }: Image) =>
  expect((await send(url, "DELETE", `/v2/team/app/manifests/${digest}`)).status).toBe(202);

/** What clients see whom one address leads now to the one and now to the other: the version before has no token service. */
async function knowsTokens(): Promise<void> {
  const policy = (name: string, subjects: readonly object[]) => ({
    kind: "AccessPolicy" as const,
    name,
    spec: { subjects, repositories: { include: ["team/**"] }, actions: ["pull", "push", "delete"] },
  });
  await publishFirst(newer.url, [policy("anybody", [{ kind: "Anonymous" }]), policy("people", [{ kind: "User", name: "ci" }])]);
  await eventually(async () => expect((await send(older.url, "GET", "/v2/")).status).toBe(401));
  const challenge = async (url: string) => (await send(url, "GET", "/v2/")).headers["www-authenticate"];
  expect(await challenge(older.url)).toMatch(/^Basic realm=/);
  expect(await challenge(newer.url)).toBe(`Bearer realm="${newer.url}/token",service="wharfinger"`);
  expect((await send(older.url, "GET", "/token")).status).toBe(404);
  const { token } = (await send(newer.url, "GET", "/token?scope=repository:team/app:pull")).json() as { token: string };
  const pull = (url: string, headers: Record<string, string> = {}) => send(url, "GET", "/v2/team/app/manifests/before", { headers });
  const shown = { authorization: `Bearer ${token}` };
  expect([(await pull(newer.url, shown)).status, (await pull(older.url, shown)).status]).toEqual([200, 401]);
  // Who shows none, where none is needed, notices nothing.
  expect([(await pull(newer.url)).status, (await pull(older.url)).status]).toEqual([200, 200]);
}

test("two versions push, pull, delete and collect beside each other on one database, then the older one goes", async () => {
  const before = await push(older.url, "before");
  newer = await startTestRegistry({
    database: { url: database.url },
    blobs: { folder: join(folder, "newer") },
    // Without snapshots, which would keep bytes for days.
    settings: { ...defaultSettings, gc: { ...defaultSettings.gc, ...times }, backup: { ...defaultSettings.backup, interval: 0 } },
    pod: "newer",
  });
  await expectWhole(newer.url, "before", before);

  const shared = randomBytes(64);
  const kept = [await push(older.url, "kept-old", shared), await push(newer.url, "kept-new", shared)];
  for (const url of [older.url, newer.url]) {
    await expectWhole(url, "kept-old", kept[0]!);
    await expectWhole(url, "kept-new", kept[1]!);
  }
  // A tag that both move; an upload that one begins and the other mounts.
  await push(older.url, "moved");
  const moved = await push(newer.url, "moved");
  await expectWhole(older.url, "moved", moved);
  for (const [url, repository] of [
    [older.url, "mounted-old"],
    [newer.url, "mounted-new"],
  ] as const) {
    const mount = await send(url, "POST", `/v2/team/${repository}/blobs/uploads/?mount=${digestOf(shared)}&from=team/app`);
    expect(mount.status).toBe(201);
  }

  // What one pushed, the other deletes; nobody gives it out any more, and what is shared stays.
  const ofOlder = await push(older.url, "gone-old", shared);
  const ofNewer = await push(newer.url, "gone-new", shared);
  await drop(newer.url, ofOlder);
  await drop(older.url, ofNewer);
  // The version before acknowledges a delete at once, when a view of this one may be some milliseconds old.
  await eventually(async () => {
    for (const url of [older.url, newer.url]) {
      for (const tag of ["gone-old", "gone-new"]) expect((await send(url, "GET", `/v2/team/app/manifests/${tag}`)).status).toBe(404);
    }
  });
  const bytesAreGone = (images: readonly Image[]) =>
    eventually(async () => {
      const rows = await direct.query<{ digest: string }>({ name: "", text: "SELECT digest FROM blobs" });
      const digests = rows.map(({ digest }) => digest);
      for (const { config } of images) expect(digests).not.toContain(digestOf(config));
    });
  await bytesAreGone([ofOlder, ofNewer]);

  await knowsTokens();
  await older.stop();
  const after = await push(newer.url, "after");
  for (const [tag, image] of [
    ["before", before],
    ["kept-old", kept[0]!],
    ["kept-new", kept[1]!],
    ["moved", moved],
    ["after", after],
  ] as const)
    await expectWhole(newer.url, tag, image);
  await drop(newer.url, before);
  await bytesAreGone([before]);
  // Objects in the store are those that the database knows as live.
  await eventually(async () => {
    const rows = await direct.query<{ key: string }>({ name: "", text: "SELECT key::text FROM objects WHERE state = 'live' ORDER BY key" });
    const files = (await readdir(join(folder, "newer", "objects"), { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map(({ name }) => name);
    expect(files.sort()).toEqual(rows.map(({ key }) => key).sort());
  });
});
