// PUT record on a real database: what is copied is held, what leaves goes, what is refused is named.

import { afterEach, beforeEach, expect, onTestFinished, test, vi } from "vitest";

import type { PublishRequest, RecordedResource } from "../../../api/control/record.ts";
import { createLogger } from "../../../observability/logger.ts";
import { validateResource } from "../../../validation/validate-resource.ts";
import { Verdicts } from "../../../validation/verdicts.ts";
import { CountingDatabase } from "../../../../test/support/counting-database.ts";
import { createMigratedDatabase, type TestDatabase } from "../../../../test/support/postgres.ts";
import { Database } from "../../metadata/database.ts";
import { ConfigurationStore } from "./configuration-store.ts";
import { PublishService } from "./publish.ts";

let created: TestDatabase;
let database: Database;
let configuration: ConfigurationStore;
let service: PublishService;

beforeEach(async () => {
  created = await createMigratedDatabase();
  database = new Database({ url: created.url });
  configuration = new ConfigurationStore({ database, pod: "pod-1", logger: createLogger({ level: "silent" }) });
  await configuration.start();
  service = new PublishService({ database, configuration });
});

afterEach(async () => {
  await configuration.stop();
  await database.close();
  await created.drop();
});

const rows = <Row = Record<string, unknown>>(text: string, values: readonly unknown[] = []) =>
  database.query<Row>({ name: "", text }, values);
const revision = (n: number) => String(n).repeat(40);
const digest = (letter: string) => `sha256:${letter.repeat(64)}`;

function upstream(name: string, spec: object = {}): RecordedResource {
  return {
    kind: "Upstream",
    namespace: "default",
    name,
    generation: 1,
    revision: revision(1),
    suspend: false,
    spec: { url: `https://${name}.example.org`, prefix: name, ...spec },
  };
}

function request(n: number, parts: Partial<PublishRequest> = {}): PublishRequest {
  return {
    revision: revision(n),
    base: n === 1 ? null : revision(n - 1),
    resources: [upstream("cgr")],
    ledgers: {},
    settled: [],
    ...parts,
  };
}

function ledger(tags: Record<string, string>) {
  const builds = [...new Set(Object.values(tags))].map((bound, index) => ({
    version: `1.27.${index}-r0`,
    digest: bound,
    sourceTag: "latest",
    seen: "2026-11-21T09:30:00Z",
    evidence: { type: "SPDX" as const, attestation: digest("f"), predicateType: "https://spdx.dev/Document", platforms: [] },
  }));
  return { image: "cgr.example.org/chainguard/nginx", builds, tags, pinned: {}, retired: {} };
}

const repository = "cgr/chainguard/nginx";
const versions = () => rows<{ tag: string; digest: string; held: string | null }>("SELECT tag, digest, held FROM ledger ORDER BY tag");

async function store(...digests: string[]): Promise<number> {
  const [row] = await rows<{ id: number }>(
    "INSERT INTO repositories (name, upstream) VALUES ($1, 'default/cgr') ON CONFLICT (name) DO UPDATE SET upstream = excluded.upstream RETURNING id",
    [repository],
  );
  for (const stored of digests) {
    await rows("INSERT INTO manifests (repository, digest, media_type, bytes, keep_until) VALUES ($1, $2, 'x', '', now())", [
      row?.id,
      stored,
    ]);
  }
  return row?.id ?? 0;
}

/** A proposal that copied `pinned` and waits to be settled. Returns its id. */
async function propose(id: number, body: object, pinned: string): Promise<string> {
  const [proposal] = await rows<{ id: string }>(
    "INSERT INTO proposals (kind, policy, repository, body) VALUES ('mint', 'default/nginx', $1, $2) RETURNING id::text",
    [repository, JSON.stringify(body)],
  );
  await rows("INSERT INTO proposal_pins (proposal, repository, held) VALUES ($1, $2, $3)", [proposal?.id, id, pinned]);
  return proposal?.id ?? "";
}

test("a copied version holds its manifest, also by a later tag; what is cached alone, or not here, waits for its copy", async () => {
  const id = await store(digest("a"), digest("c"));
  await propose(id, {}, digest("a"));
  const tags = { "1.27.0": digest("a"), "1.27.1": digest("b"), "1.27.2": digest("c") };
  await service.publish(request(1, { ledgers: { [repository]: ledger(tags) } }));
  await rows("DELETE FROM proposal_pins");
  await service.publish(request(2, { ledgers: { [repository]: ledger({ ...tags, "1.27": digest("a") }) } }));
  expect(await versions()).toEqual([
    { tag: "1.27", digest: digest("a"), held: digest("a") },
    { tag: "1.27.0", digest: digest("a"), held: digest("a") },
    { tag: "1.27.1", digest: digest("b"), held: null },
    { tag: "1.27.2", digest: digest("c"), held: null },
  ]);
  await expect(rows("DELETE FROM manifests WHERE repository = $1", [id])).rejects.toMatchObject({ constraint: "ledger_held" });
});

test("a binding that is gone leaves service with what was cached under its name, and its manifest counts as untagged", async () => {
  const id = await store(digest("a"), digest("b"));
  await rows("INSERT INTO tags (repository, name, digest) VALUES ($1, '1.27.0', $2)", [id, digest("a")]);
  await service.publish(request(1, { ledgers: { [repository]: ledger({ "1.27.0": digest("a"), "1.27": digest("a") }) } }));
  await service.publish(request(2, { ledgers: { [repository]: ledger({ "1.27": digest("b") }) } }));
  expect(await versions()).toEqual([{ tag: "1.27", digest: digest("b"), held: null }]);
  expect(await rows("SELECT name FROM tags")).toEqual([]);
  expect(await rows("SELECT digest FROM manifests WHERE untagged_since IS NOT NULL")).toEqual([{ digest: digest("a") }]);
  expect(await rows("SELECT name, digest, previous, by FROM tag_events WHERE previous IS NOT NULL ORDER BY name")).toEqual([
    { name: "1.27", digest: digest("b"), previous: digest("a"), by: `record:${revision(2)}` },
    { name: "1.27.0", digest: null, previous: digest("a"), by: `record:${revision(2)}` },
  ]);
  await service.publish(request(3, { ledgers: { [repository]: null } }));
  expect(await versions()).toEqual([]);
  expect(await rows("SELECT repository FROM ledgers")).toEqual([]);
});

test("evidence stays as long as the version that rests on it", async () => {
  const id = await store(digest("a"), digest("e"));
  const body = { kind: "mint", build: { digest: digest("a") }, tags: ["1.27.0"], evidenceManifests: [digest("e")] };
  const proposal = await propose(id, body, digest("e"));
  await service.publish(request(1, { ledgers: { [repository]: ledger({ "1.27.0": digest("a") }) }, settled: [{ id: proposal }] }));
  expect(await rows("SELECT state, revision FROM proposals")).toEqual([{ state: "published", revision: revision(1) }]);
  expect(await rows("SELECT held FROM proposal_pins")).toEqual([]);
  expect(await rows("SELECT tag, held FROM ledger_evidence")).toEqual([{ tag: "1.27.0", held: digest("e") }]);
  await service.publish(request(2, { ledgers: { [repository]: null } }));
  expect(await rows("SELECT tag FROM ledger_evidence")).toEqual([]);
});

test("the first publish of a registry is whole: versions that it does not name are gone", async () => {
  await service.publish(request(1, { ledgers: { [repository]: ledger({ "1.27.0": digest("a") }) } }));
  await rows("DELETE FROM record");
  await service.publish(request(1));
  expect(await versions()).toEqual([]);
});

test("a deleted Upstream's prefix is retired until an Upstream has it again", async () => {
  const prefixes = () => rows("SELECT prefix, kind, upstream FROM prefixes ORDER BY prefix");
  await service.publish(request(1));
  expect(await prefixes()).toEqual([{ prefix: "cgr", kind: "proxied", upstream: "default/cgr" }]);
  await service.publish(request(2, { resources: [] }));
  expect(await prefixes()).toEqual([{ prefix: "cgr", kind: "retired", upstream: "default/cgr" }]);
  await service.publish(request(3, { resources: [upstream("other", { prefix: "cgr" })] }));
  expect(await prefixes()).toEqual([{ prefix: "cgr", kind: "proxied", upstream: "default/other" }]);
});

test.each([
  ["a manifest", "INSERT INTO manifests (repository, digest, media_type, bytes, keep_until) VALUES ($1, 'sha256:m', 'x', '', now())"],
  [
    "what can be restored",
    "INSERT INTO trash (repository, tags, digest, media_type, bytes, by, reason) VALUES ($1, '{}', 'd', 'x', '', 'a', 'b')",
  ],
  [
    "a blob",
    `WITH o AS (INSERT INTO objects (key, state) VALUES ('k', 'live')), b AS (INSERT INTO blobs VALUES ('sha256:b', 1, 'k'))
     INSERT INTO repository_blobs VALUES ($1, 'sha256:b', now())`,
  ],
  [
    "an upload that has bytes",
    `WITH o AS (INSERT INTO objects (key, state) VALUES ('k', 'uploading'))
     INSERT INTO uploads (id, repository, identity, object_key, expires_at)
     SELECT gen_random_uuid(), name, 'ci', 'k', now() + interval '1 hour' FROM repositories WHERE id = $1`,
  ],
])("a prefix with %s is refused with its names; one where nothing is left is taken over", async (_, content) => {
  await rows("INSERT INTO prefixes (prefix, kind) VALUES ('cgr', 'own')");
  await rows("INSERT INTO repositories (name) VALUES ('cgr/empty'), ('cgrx/other')");
  const [held] = await rows<{ id: number }>("INSERT INTO repositories (name) VALUES ('cgr/app') RETURNING id");
  await rows(content, [held?.id]);
  expect((await service.publish(request(1))).refused).toEqual([
    {
      kind: "Upstream",
      namespace: "default",
      name: "cgr",
      reason: "PrefixInUse",
      message:
        "prefix cgr holds pushed content (cgr/app): choose another prefix, or delete what is there: " +
        "a publish takes the prefix once nothing of it can be restored any longer (gc.trashFor)",
    },
  ]);
  for (const table of ["manifests", "trash", "repository_blobs", "uploads"]) await rows(`DELETE FROM ${table}`);
  expect((await service.publish(request(2))).refused).toEqual([]);
  expect(await rows("SELECT prefix, kind, upstream FROM prefixes")).toEqual([{ prefix: "cgr", kind: "proxied", upstream: "default/cgr" }]);
  expect(await rows("SELECT name, upstream FROM repositories ORDER BY name")).toEqual([
    { name: "cgr/app", upstream: "default/cgr" },
    { name: "cgr/empty", upstream: "default/cgr" },
    { name: "cgrx/other", upstream: null },
  ]);
});

test("what is not valid is left out and named; the others are served", async () => {
  const resources = [upstream("cgr"), upstream("bad", { url: "ftp://x" }), upstream("second", { prefix: "cgr" })];
  const answer = await service.publish(request(1, { resources }));
  expect(answer.refused?.map(({ name, reason }) => ({ name, reason }))).toEqual([
    { name: "bad", reason: "Invalid" },
    { name: "second", reason: "PrefixInUse" },
  ]);
  expect(configuration.current().upstreams.map(({ name }) => name)).toEqual(["cgr"]);
  expect(configuration.current().upstreamByPrefix("cgr")).toMatchObject({ name: "cgr", spec: { cache: { tagTTL: "5m" } } });
});

test.each([
  ["another base", { base: revision(9) }, "CONFLICT"],
  ["no base where something is published", { base: null }, "CONFLICT"],
  ["a name that is none", { ledgers: { "CGR/x": null } }, "INVALID"],
  ["a tag that is none", { ledgers: { [repository]: ledger({ "-x": digest("a") }) } }, "INVALID"],
  ["a resource twice", { resources: [upstream("cgr"), upstream("cgr")] }, "INVALID"],
])("%s is refused whole", async (_, parts, code) => {
  await service.publish(request(1));
  await expect(service.publish(request(2, parts))).rejects.toMatchObject({ code });
  expect((await service.state()).revision).toBe(revision(1));
});

test("a publish costs what has changed: no resource is judged again, no prefix claimed, no version written that is as it was", async () => {
  const counting = new CountingDatabase({ url: created.url });
  onTestFinished(() => counting.close());
  const judgedNames: string[] = [];
  const verdicts = new Verdicts((resource, options) => {
    judgedNames.push(resource.name);
    return validateResource(resource, options);
  });
  const counted = new PublishService({ database: counting, configuration, verdicts });
  const names = Array.from({ length: 30 }, (_, index) => `u${index}`);
  const resources = [upstream("cgr"), ...names.map((name) => upstream(name))];
  await store(digest("a"), digest("b"));
  await counted.publish(request(1, { resources, ledgers: { [repository]: ledger({ one: digest("a") }) } }));
  const written = () => rows<{ tag: string; xmin: string }>("SELECT tag, xmin::text FROM ledger ORDER BY tag");
  const before = await written();
  counting.statements();
  judgedNames.splice(0);

  const changed = [
    ...resources.slice(0, -1).map((resource) => structuredClone(resource)),
    upstream("u29", { offline: true }),
    upstream("new"),
  ];
  await counted.publish(request(2, { resources: changed, ledgers: { [repository]: ledger({ one: digest("a"), two: digest("b") }) } }));
  expect(judgedNames).toEqual(["u29", "new"]);
  const sent = counting.statements();
  expect(sent.filter((name) => name.startsWith("upstream-prefix-"))).toEqual([
    "upstream-prefix-held",
    "upstream-prefix-insert",
    "upstream-prefix-lock",
    "upstream-prefix-retire",
  ]);
  expect(await written()).toEqual([before[0], { tag: "two", xmin: expect.not.stringMatching(before[0]?.xmin ?? "") }]);
  expect(await counted.state()).toMatchObject({ revision: revision(2), refused: [] });
  expect(counting.statements(), "nobody reads the whole document to hear which revision it is").toEqual(["record-summary", "record-pods"]);
});

test("of two publishes on one base one wins", async () => {
  await service.publish(request(1));
  const results = await Promise.allSettled([service.publish(request(2)), service.publish(request(2, { revision: revision(3) }))]);
  expect(results.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
});

test("another process follows within its interval, and says what it serves", async () => {
  const other = new ConfigurationStore({ database, pod: "pod-2", logger: createLogger({ level: "silent" }), interval: 20 });
  await other.start();
  const changed = new Promise<void>((resolve) => {
    other.onChange(resolve);
  });
  await service.publish(request(1));
  await changed;
  expect(other.current().revision).toBe(revision(1));
  await other.stop();
  expect((await service.state()).pods.map(({ id, revision }) => ({ id, revision }))).toEqual([{ id: "pod-1", revision: revision(1) }]);
});

test("alone on its database, a process asks only to say that it lives, and after a publish whose end it did not hear", async () => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "Date"] });
  const own = new Database({ url: created.url, connections: 2 });
  const alone = new ConfigurationStore({ database: own, pod: "pod-2", logger: createLogger({ level: "silent" }), alone: true });
  try {
    await alone.start();
    const asked = vi.spyOn(own, "query");
    await vi.advanceTimersByTimeAsync(14_000);
    expect(asked).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(2_000);
    expect(asked).toHaveBeenCalledTimes(1);

    const changed = new Promise<void>((resolve) => {
      alone.onChange(resolve);
    });
    const transaction = own.transaction.bind(own);
    vi.spyOn(own, "transaction").mockImplementationOnce(async (work) => {
      await transaction(work);
      throw new Error("Connection terminated unexpectedly");
    });
    await expect(new PublishService({ database: own, configuration: alone }).publish(request(1))).rejects.toThrow(/terminated/);
    expect(alone.current().revision).toBeNull();
    await vi.advanceTimersByTimeAsync(1_000);
    await changed;
    expect(alone.current().revision).toBe(revision(1));
  } finally {
    vi.useRealTimers();
    await alone.stop();
    await own.close();
  }
});

test("that an AccessPolicy once existed is never forgotten", async () => {
  const policy: RecordedResource = {
    ...upstream("cgr"),
    kind: "AccessPolicy",
    name: "all",
    spec: { subjects: [{ kind: "Anonymous" }], repositories: { include: ["**"] }, actions: ["pull"] },
  };
  expect(configuration.current().everHadAccessPolicy).toBe(false);
  await service.publish(request(1, { resources: [policy] }));
  await service.publish(request(2, { resources: [] }));
  expect(configuration.current()).toMatchObject({ everHadAccessPolicy: true, accessPolicies: [] });
});
