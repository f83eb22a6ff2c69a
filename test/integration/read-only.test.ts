// --read-only: pulls go on, and nothing is written, which the database itself would refuse: its user may only read.

import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Client } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { defaultSettings } from "../../src/config/settings.ts";
import { digestOf, imageManifest, pushBlob, pushImage, putManifest } from "../conformance/content.ts";
import { send } from "../support/http.ts";
import { createDatabase, type TestDatabase } from "../support/postgres.ts";
import { upstreamSpec } from "../support/proxy.ts";
import { adminToken, publishFirst, startTestRegistry, type TestRegistry } from "../support/registry.ts";
import { ScriptedUpstream } from "../support/scripted-upstream.ts";
import { startStandalone } from "../support/standalone.ts";

const settings = { ...defaultSettings, readOnly: true };
const admin = { authorization: `Bearer ${adminToken}` };
const reader = `reader_${randomBytes(4).toString("hex")}`;

describe("a registry whose database user may only read", () => {
  let database: TestDatabase;
  let folder: string;
  let upstream: ScriptedUpstream;
  let registry: TestRegistry;
  let url: string;
  let digest: string;
  let layer: string;
  const fetched = { layer: randomBytes(70_000), image: "" };
  const other = { layer: randomBytes(70_000), image: "" };

  async function asOwner(text: string): Promise<readonly unknown[]> {
    const client = new Client({ connectionString: database.url });
    await client.connect();
    try {
      return (await client.query(text)).rows;
    } finally {
      await client.end();
    }
  }

  /** What the database holds, apart from what it cost to ask. */
  const contents = async () => [
    await asOwner("SELECT name, digest, updated_at, checked_at FROM tags ORDER BY repository, name"),
    await asOwner("SELECT digest, keep_until FROM repository_blobs ORDER BY repository, digest"),
    await asOwner("SELECT key, state FROM objects ORDER BY key"),
    await asOwner("SELECT * FROM pulls"),
    await asOwner("SELECT id, seen_at FROM pods"),
    await asOwner("SELECT id FROM uploads"),
  ];

  beforeAll(async () => {
    database = await createDatabase();
    folder = await mkdtemp(join(tmpdir(), "read-only-"));
    upstream = await ScriptedUpstream.start();
    for (const [name, image] of Object.entries({ fetched, other })) {
      const config = upstream.addBlob(name, Buffer.from("{}"));
      image.image = imageManifest({ config, layers: [upstream.addBlob(name, image.layer)] });
      upstream.addManifest(name, image.image, { tag: "v1" });
    }
    const same = { database: { url: database.url }, blobs: { folder: join(folder, "blobs") } };
    const first = await startTestRegistry(same);
    await publishFirst(first.url, [{ kind: "Upstream", name: "up", spec: upstreamSpec(upstream.url, "up") }]);
    digest = (await pushImage(first.url, "team/app", "v1")).digest;
    layer = await pushBlob(first.url, "team/app", "a layer");
    for (const path of ["manifests/v1", `blobs/${digestOf(fetched.layer)}`]) {
      await send(first.url, "GET", `/v2/up/fetched/${path}`);
    }
    await first.stop();
    await asOwner(`CREATE ROLE ${reader} LOGIN; GRANT pg_read_all_data TO ${reader}`);
    const asReader = new URL(database.url);
    asReader.username = reader;
    registry = await startTestRegistry({ ...same, database: { url: asReader.href }, settings });
    url = registry.url;
  });
  afterAll(async () => {
    await registry.stop();
    await upstream.stop();
    await database.drop();
    await rm(folder, { recursive: true });
  });

  test("serves what is stored, passes on what is not, and leaves no trace", async () => {
    const before = await contents();
    const get = async (path: string) => (await send(url, "GET", path)).status;
    expect((await send(url, "GET", "/readyz")).status).toBe(200);
    expect(await get("/v2/team/app/manifests/v1")).toBe(200);
    expect(await get(`/v2/team/app/manifests/${digest}`)).toBe(200);
    expect(await get(`/v2/team/app/blobs/${layer}`)).toBe(200);
    expect(await get("/v2/team/app/tags/list")).toBe(200);
    expect((await send(url, "HEAD", `/v2/team/app/blobs/${layer}`)).status, "no lease is raised").toBe(200);
    expect((await send(url, "HEAD", "/v2/team/app/manifests/v1")).status).toBe(200);

    const asked = () => upstream.asked("/fetched/").length;
    const askedBefore = asked();
    expect(await get("/v2/up/fetched/manifests/v1")).toBe(200);
    expect(await get(`/v2/up/fetched/blobs/${digestOf(fetched.layer)}`)).toBe(200);
    expect(asked()).toBe(askedBefore);
    const passed = await send(url, "GET", "/v2/up/other/manifests/v1");
    expect(passed.body.toString()).toBe(other.image);
    expect((await send(url, "GET", `/v2/up/other/blobs/${digestOf(other.layer)}`)).body.equals(other.layer)).toBe(true);
    // A tag that somebody asks anew, and one that upstream does not have any more.
    expect((await send(url, "GET", "/v2/up/fetched/manifests/v1", { headers: { ...admin, "cache-control": "no-cache" } })).status).toBe(
      200,
    );
    upstream.script("/fetched/manifests/v1", { kind: "status", status: 404 }, 2);
    expect((await send(url, "GET", "/v2/up/fetched/manifests/v1", { headers: { ...admin, "cache-control": "no-cache" } })).status).toBe(
      404,
    );
    expect(await get("/v2/up/fetched/manifests/v1")).toBe(200);

    expect((await send(url, "GET", "/api/v1/usage", { headers: admin })).status).toBe(200);
    const audit = await send(url, "POST", "/api/v1/audit", {
      headers: { ...admin, "content-type": "application/json" },
      body: JSON.stringify({ deep: true }),
    });
    expect(JSON.parse(audit.body.toString().trim().split("\n").at(-1) ?? "")).toMatchObject({ report: { findings: [] } });
    expect(await contents()).toEqual(before);
  });

  test("what would write is refused by name", async () => {
    const refusals = [
      await send(url, "POST", "/v2/team/app/blobs/uploads/"),
      await send(url, "POST", `/v2/team/app/blobs/uploads/?mount=${layer}&from=team/app`),
      await send(url, "PUT", `/v2/team/app/blobs/uploads/00000000-0000-0000-0000-000000000000?digest=${layer}`, { body: "a layer" }),
      await putManifest(url, "team/app", "v2", imageManifest({ config: layer, layers: [] })),
      await send(url, "DELETE", "/v2/team/app/manifests/v1"),
      await send(url, "DELETE", `/v2/team/app/blobs/${layer}`),
    ];
    for (const { method, path, body } of [
      { method: "PUT", path: "record", body: { revision: "r2", base: "r1", resources: [], ledgers: {}, settled: [] } },
      { method: "POST", path: "restore", body: { repository: "team/app", tag: "v1" } },
      { method: "POST", path: "prefetch", body: { repository: "up/other", reference: "v1" } },
    ]) {
      const headers = { ...admin, "content-type": "application/json" };
      refusals.push(await send(url, method, `/api/v1/${path}`, { headers, body: JSON.stringify(body) }));
    }
    for (const refused of refusals) {
      expect({ status: refused.status, code: refused.code() }).toEqual({ status: 405, code: "UNSUPPORTED" });
      expect(refused.body.toString()).toContain("This registry is read-only at the moment");
    }
  });

  test("nothing else tried to", async () => {
    const troubles = registry.log.filter(({ level }) => (level as number) >= 40).map(({ msg }) => msg);
    expect(troubles).toEqual([
      expect.stringContaining("fsync = off"), // that of the tests' server
      "read-only: pulls go on, nothing is pushed, deleted, collected or published",
    ]);
  });

  test("a database that it would have to change first is refused", async () => {
    const older = await createDatabase();
    const startReadOnly = () => startTestRegistry({ database: { url: older.url }, settings });
    await expect(startReadOnly()).rejects.toThrow("The database is empty: start once without --read-only");
    const first = await startTestRegistry({ database: { url: older.url } });
    await first.stop();
    const client = new Client({ connectionString: older.url });
    await client.connect();
    await client.query("DELETE FROM migrations WHERE number = 10");
    await client.end();
    await expect(startReadOnly()).rejects.toThrow("it lacks 0010-repository-usage.sql");
    await older.drop();
  });
});

test("serve --read-only serves what was published, without a control plane", async () => {
  const standalone = await startStandalone();
  const { digest } = await pushImage(standalone.url, "team/app", "v1");
  await standalone.stop();
  const resting = await standalone.restart({ args: ["--read-only"] });
  expect((await send(resting.url, "GET", "/v2/team/app/manifests/v1")).headers["docker-content-digest"]).toBe(digest);
  expect((await send(resting.url, "DELETE", "/v2/team/app/manifests/v1")).status).toBe(405);
  expect(await resting.cli(["gc", "status"])).toMatchObject({ code: 0 });
  expect(await resting.stop()).toBe(0);
});
