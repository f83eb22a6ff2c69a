// The reading rule (design: storage.md, "Reading"): what was taken away or moved through one pod is gone on every other from the moment that the
// answer says so, whatever the other one was doing.

import { mkdtemp, readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { hashSync } from "bcryptjs";
import { Client } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import type { LedgerDocument, RecordedResource } from "../../src/api/control/record.ts";
import { ControlClient } from "../../src/client/control-client.ts";
import { defaultSettings } from "../../src/config/settings.ts";
import type { S3Settings } from "../../src/registry/blobs/s3-settings.ts";
import type { DatabaseOptions } from "../../src/registry/metadata/database-options.ts";
import { startEmbeddedPostgres, type EmbeddedPostgres } from "../../src/standalone/postgres/server.ts";
import { pushBlob, pushImage, putManifest } from "../conformance/content.ts";
import { eventually } from "../support/eventually.ts";
import { send } from "../support/http.ts";
import { startPooler, type Pooler } from "../support/pgbouncer.ts";
import { createDatabase, type TestDatabase } from "../support/postgres.ts";
import { upstreamSpec } from "../support/proxy.ts";
import { adminToken, startTestRegistry, type TestRegistry } from "../support/registry.ts";
import { bucketOf, credentialsOf, startRegistryProcess } from "../support/registry-process.ts";
import { startS3Service, type S3Service } from "../support/s3-service.ts";
import { ScriptedUpstream } from "../support/scripted-upstream.ts";
import type { ServingProcess } from "../support/serving-process.ts";

const name = "team/app";
const manifestPath = (reference: string, repository = name) => `/v2/${repository}/manifests/${reference}`;
const statusOf = async (url: string, path: string, method = "GET") => (await send(url, method, path)).status;
const deleted = async (url: string, path: string) => expect((await send(url, "DELETE", path)).status).toBe(202);

/** Pulls these all the time, so that the pod's view is warm and as old as it may be at any moment, until it is told to stop. */
function keepPulling(url: string, paths: () => readonly string[]): () => Promise<void> {
  const stopping = new AbortController();
  const work = (async () => {
    while (!stopping.signal.aborted) {
      await Promise.all(paths().map((path) => send(url, "GET", path)));
      await sleep(Math.random() * 8);
    }
  })();
  return () => {
    stopping.abort();
    return work;
  };
}

let service: S3Service;
beforeAll(async () => {
  service = await startS3Service();
});
afterAll(() => service.stop());

/** A place for an installation of its own. */
const bucketFor = (installation: string): S3Settings => ({ ...service.settings, prefix: `${installation}/` });

/** Registries in this process, on one database and one bucket. */
async function startPods(count: number, installation: string, database?: DatabaseOptions): Promise<readonly TestRegistry[]> {
  const blobs = { s3: bucketFor(installation) };
  const first = await startTestRegistry({ blobs, ...(database === undefined ? {} : { database }) });
  const pods = [first];
  while (pods.length < count) pods.push(await startTestRegistry({ blobs, database: database ?? { url: first.databaseUrl } }));
  return pods;
}

async function stopPods(pods: readonly TestRegistry[]): Promise<void> {
  for (const pod of pods.toReversed()) await pod.stop();
}

describe("two pods", () => {
  let pods: readonly TestRegistry[];
  let one: string;
  let other: string;
  let upstream: ScriptedUpstream;
  let watched: readonly string[] = [];
  let stopPulling: () => Promise<void>;

  beforeAll(async () => {
    upstream = await ScriptedUpstream.start();
    pods = await startPods(2, "two");
    [one, other] = pods.map(({ url }) => url) as [string, string];
    stopPulling = keepPulling(other, () => watched);
  });
  afterAll(async () => {
    await stopPulling();
    await stopPods(pods);
    await upstream.stop();
  });

  /** Until the other pod remembers them; and from then on somebody pulls them there, so that the next moment is any moment of its view. */
  async function warm(...paths: readonly string[]): Promise<void> {
    watched = paths;
    for (let round = 0; round < 2; round++) for (const path of paths) expect([path, await statusOf(other, path)]).toEqual([path, 200]);
    await sleep(Math.random() * 12);
  }

  test("what was deleted through one is gone on the other: tags, manifests, blobs", async () => {
    for (let round = 0; round < 15; round++) {
      const tag = `t${round}`;
      const { digest } = await pushImage(one, name, tag, { annotations: { round: tag } });
      const blob = `/v2/${name}/blobs/${await pushBlob(one, name, `blob ${round}`)}`;
      await warm(manifestPath(tag), manifestPath(digest));
      expect(await statusOf(other, blob, "HEAD")).toBe(200);
      await deleted(one, manifestPath(tag));
      expect([round, await statusOf(other, manifestPath(tag))]).toEqual([round, 404]);
      await deleted(one, manifestPath(digest));
      expect([round, await statusOf(other, manifestPath(digest))]).toEqual([round, 404]);
      await deleted(one, blob);
      expect([round, await statusOf(other, blob, "HEAD")]).toEqual([round, 404]);
    }
  });

  test("a manifest that goes with its tags takes them along, and a tag that moved leads to the new image only", async () => {
    const digests = await Promise.all(
      ["one", "two"].map(async (kind) => (await pushImage(one, name, kind, { annotations: { kind } })).digest),
    );
    const [{ manifest: first }, { manifest: second }] = await Promise.all([
      pushImage(one, name, "a", { annotations: { moved: "a" } }),
      pushImage(one, name, "b", { annotations: { moved: "b" } }),
    ]);
    expect((await putManifest(one, name, "moving", first)).status).toBe(201);
    await warm(manifestPath("moving"));
    for (let round = 0; round < 25; round++) {
      const moved = round % 2 === 0 ? second : first;
      expect((await putManifest(one, name, "moving", moved)).status).toBe(201);
      const { body } = await send(other, "GET", manifestPath("moving"));
      expect([round, body.toString()]).toEqual([round, moved]);
      await sleep(Math.random() * 12);
    }
    await warm(manifestPath("one"), manifestPath("two"));
    for (const digest of digests) await deleted(one, manifestPath(digest));
    for (const tag of ["one", "two"]) expect(await statusOf(other, manifestPath(tag))).toBe(404);
  });

  test("versions that a publish moves or retires, tags that upstream moved, rights and Upstreams that are withdrawn", async () => {
    const client = new ControlClient({ url: one, token: adminToken });
    const images = ["1", "2"].map((layer) => upstream.addImage("team/app", `v${layer}`, Buffer.from(layer)).manifest);
    upstream.moveTag("team/app", "latest", images[0]!);
    const spec = upstreamSpec(upstream.url, "up");
    const resource = (kind: RecordedResource["kind"], of: object): RecordedResource => ({
      kind,
      namespace: "default",
      name: "up",
      generation: 1,
      revision: "r",
      suspend: false,
      spec: of,
    });
    pods[1]?.secrets.set("default", "wharfinger-users", { htpasswd: `eve:${hashSync("eve-password", 4)}` });
    const eve = { authorization: `Basic ${Buffer.from("eve:eve-password").toString("base64")}` };
    const seenByEve = async () =>
      ((await send(other, "GET", "/api/v1/repositories", { headers: eve })).json() as { name: string }[]).map(
        (repository) => repository.name,
      );
    await pushImage(one, name, "v1");
    const allowed = resource("AccessPolicy", {
      subjects: [{ kind: "Anonymous" }, { kind: "User", name: "eve" }],
      repositories: { include: ["team/**", "up/**"] },
      actions: ["pull", "push", "delete"],
    });
    let revision: string | null = null;
    let published = 0;
    const publish = async (resources: RecordedResource[], versions: Readonly<Record<string, string>>) => {
      const base = revision;
      revision = `r${++published}`;
      const { refused = [] } = await client.publish({
        revision,
        base,
        resources,
        ledgers: { "up/team/app": ledgerOf(versions) },
        settled: [],
      });
      expect(refused).toEqual([]);
    };
    const up = "up/team/app";
    const digestAt = async (tag: string) => (await send(other, "GET", manifestPath(tag, up))).headers["docker-content-digest"];
    const whole = [resource("Upstream", spec), allowed];
    await publish(whole, { "1.0": images[0]! });
    await warm(manifestPath("1.0", up), manifestPath("latest", up));
    for (let round = 0; round < 4; round++) {
      const [now, then] = round % 2 === 0 ? images : images.toReversed();
      await publish(whole, { "1.0": now! });
      expect([round, await digestAt("1.0")]).toEqual([round, now]);
      await publish(whole, { "2.0": then! });
      expect([round, await statusOf(other, manifestPath("1.0", up))]).toEqual([round, 404]);
      upstream.moveTag("team/app", "latest", then!);
      const fresh = { authorization: `Bearer ${adminToken}`, "cache-control": "no-cache" };
      expect((await send(one, "GET", manifestPath("latest", up), { headers: fresh })).status).toBe(200);
      expect([round, await digestAt("latest")]).toEqual([round, then]);
      expect(await seenByEve()).toContain(name);
      await publish([resource("Upstream", spec)], { "1.0": now! });
      expect(await seenByEve()).not.toContain(name);
      expect([round, await statusOf(other, manifestPath("1.0", up))]).toEqual([round, 200]);
      expect([round, await statusOf(other, "/v2/team/app/tags/list")]).toEqual([round, 401]);
      await publish([allowed], {});
      expect([round, await statusOf(other, manifestPath("latest", up))]).toEqual([round, 404]);
      await publish(whole, { "1.0": then! });
      expect([round, await digestAt("1.0")]).toEqual([round, then]);
    }
    await client.close();
  }, 120_000);
});

describe("a pod that was stopped", () => {
  let one: TestRegistry;
  let other: ServingProcess;
  beforeAll(async () => {
    [one] = (await startPods(1, "stopped")) as [TestRegistry];
    const bucket = bucketFor("stopped");
    const settings = { database: { url: one.databaseUrl }, storage: { s3: bucketOf(bucket) } };
    other = await startRegistryProcess({ settings, env: credentialsOf(bucket) });
  });
  afterAll(async () => {
    other.signal("SIGCONT");
    await other.stop();
    await one.stop();
  });

  const endSessions = async (url: string) => {
    const client = new Client({ connectionString: url });
    await client.connect();
    await client.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    await client.end();
  };

  test.each(["and finds its connections as they were", "and finds its connections ended"])(
    "serves nothing that was deleted meanwhile, by tag or by digest, %s",
    async (how) => {
      for (let round = 0; round < 5; round++) {
        const tag = `${how.slice(-5).trim()}${round}`;
        const { digest } = await pushImage(one.url, name, tag, { annotations: { tag } });
        const blob = await pushBlob(one.url, name, tag);
        const paths = [
          ["GET", manifestPath(tag)],
          ["GET", manifestPath(digest)],
          ["HEAD", `/v2/${name}/blobs/${blob}`],
        ] as const;
        for (let pull = 0; pull < 2; pull++) for (const [method, path] of paths) expect(await statusOf(other.url, path, method)).toBe(200);
        other.signal("SIGSTOP");
        await eventually(async () => expect(await stateOf(other.pid)).toBe("T"));
        for (const path of [tag, digest].map((reference) => manifestPath(reference))) await deleted(one.url, path);
        await deleted(one.url, `/v2/${name}/blobs/${blob}`);
        if (how.endsWith("ended")) await endSessions(one.databaseUrl);
        // They wait in its socket: what it does first is to answer them.
        const answers = paths.map(([method, path]) => statusOf(other.url, path, method));
        other.signal("SIGCONT");
        expect([round, ...(await Promise.all(answers))]).toEqual([round, 404, 404, 404]);
      }
    },
  );
});

/** The letter of the kernel for what a process does (proc(5)): T when it is stopped. */
async function stateOf(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ", 1)[0];
}

describe("PostgreSQL that goes and comes back", () => {
  let folder: string;
  let server: EmbeddedPostgres;
  let pod: TestRegistry;
  let strict: TestRegistry;
  let image: { readonly digest: string };
  let blob: string;

  /** The server has a socket folder of its own after each start; the pod knows one address. */
  const address = () => join(folder, "address");
  const start = async () => {
    server = await startEmbeddedPostgres({ folder: join(folder, "data"), fsync: false });
    await rm(address(), { force: true });
    await symlink(new URL(server.url).searchParams.get("host") ?? "", address());
  };
  /** Behind everybody's back: no trigger tells of it. */
  const silently = async (statement: string) => {
    const client = new Client({ connectionString: server.url });
    await client.connect();
    await client.query("SET session_replication_role = replica");
    await client.query(statement);
    await client.end();
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "wharfinger-restart-"));
    await start();
    const url = new URL(server.url);
    url.searchParams.set("host", address());
    const database = { url: url.href };
    pod = (await startPods(1, "restarted", database))[0]!;
    const settings = { ...defaultSettings, database: { ...defaultSettings.database, serveDigestsFor: 0 } };
    strict = await startTestRegistry({ blobs: { s3: bucketFor("restarted") }, database, settings });
    image = await pushImage(pod.url, name, "v1");
    blob = `/v2/${name}/blobs/${await pushBlob(pod.url, name, "{}")}`;
  });
  afterAll(async () => {
    await stopPods([pod, strict]);
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  });

  test("while it is away what is asked for by digest is served, by tag 503; and then nothing that was remembered counts", async () => {
    for (const { url } of [pod, strict]) {
      for (const path of [manifestPath("v1"), manifestPath(image.digest), blob]) expect(await statusOf(url, path)).toBe(200);
    }
    await server.stop();
    const byTag = await send(pod.url, "GET", manifestPath("v1"));
    expect([byTag.status, byTag.headers["retry-after"], byTag.code()]).toEqual([503, "1", "UNAVAILABLE"]);
    for (const path of [manifestPath(image.digest), blob]) {
      expect([path, await statusOf(pod.url, path)]).toEqual([path, 200]);
      expect([path, await statusOf(strict.url, path)]).toEqual([path, 503]);
    }
    // Who may push is promised that it stays, which only the database can do.
    expect(await statusOf(pod.url, manifestPath(image.digest), "HEAD")).toBe(503);
    await start();
    await silently("DELETE FROM tags; DELETE FROM manifest_blobs; DELETE FROM manifests");
    await eventually(async () => expect(await statusOf(pod.url, manifestPath("v1"))).toBe(404));
    expect(await statusOf(pod.url, manifestPath(image.digest))).toBe(404);
    expect(await statusOf(pod.url, blob)).toBe(200);
    const again = await pushImage(pod.url, name, "v1", { annotations: { after: "the restart" } });
    expect((await send(pod.url, "HEAD", manifestPath("v1"))).headers["docker-content-digest"]).toBe(again.digest);
  });
});

describe("behind a connection pooler in transaction mode", () => {
  let pooler: Pooler | undefined;
  let pods: readonly TestRegistry[] = [];
  let created: TestDatabase;

  beforeAll(async () => {
    created = await createDatabase();
    // Two sessions for everything: no two statements of a pod can count on the same one.
    pooler = await startPooler(created.url, { sessions: 2 });
    pods = await startPods(2, "pooled", { url: pooler.url, preparedStatements: false });
  });
  afterAll(async () => {
    await stopPods(pods);
    await pooler?.stop();
    await created.drop();
  });

  test("everything works, and the rule holds", async () => {
    const [one, other] = pods.map(({ url }) => url) as [string, string];
    await Promise.all(
      Array.from({ length: 6 }, async (_, pusher) => {
        for (let round = 0; round < 5; round++) {
          const tag = `p${pusher}-${round}`;
          const { digest } = await pushImage(one, name, tag, { annotations: { tag } });
          for (const reference of [tag, digest, tag]) expect(await statusOf(other, manifestPath(reference))).toBe(200);
          for (const reference of [tag, digest]) {
            await deleted(one, manifestPath(reference));
            expect([tag, await statusOf(other, manifestPath(reference))]).toEqual([tag, 404]);
          }
        }
      }),
    );
  });
});

function ledgerOf(tags: Readonly<Record<string, string>>): LedgerDocument {
  return { image: "up.example.org/team/app", builds: [], tags, pinned: {}, retired: {} };
}
