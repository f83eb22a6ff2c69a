import { randomBytes, randomUUID } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { afterEach, beforeEach, describe as describeTests, expect, test } from "vitest";

import {
  bodyOf,
  describe,
  indexOf,
  longTimes,
  noTimes,
  openOwnRegistry,
  pushBlob,
  pusher,
  pushImage,
  pushManifest,
  readBlob,
  unprotected,
  type OwnRegistry,
  type PushedImage,
} from "../../../../test/support/own-registry.ts";
import type { AuditLine, AuditReport } from "../../../api/control/audit.ts";
import { digestOf } from "../../../domain/digest.ts";
import { mediaTypes } from "../../../domain/media-types.ts";
import { BlobStoreError } from "../../blobs/blob-store.ts";
import { letGoOfBytes } from "../../metadata/forget-copy.ts";
import { endGcPauses, pauseGc } from "../../metadata/gc-pauses.ts";
import type { AuditedStore } from "./audit-step.ts";
import { audit } from "./audit.ts";

let registry: OwnRegistry;
let image: PushedImage;
let index: Buffer;

/** An index of one image, with an SBOM, a second repository with the same image, an upload under way, and a published version. */
beforeEach(async () => {
  registry = await openOwnRegistry();
  await registry.setTimes(longTimes);
  const { push } = registry;
  image = await pushImage(push, "team-a/app", ["v1"]);
  index = indexOf([
    describe(mediaTypes.ociManifest, image.bytes),
    { mediaType: mediaTypes.ociManifest, digest: digestOf("absent"), size: 10 },
  ]);
  await pushManifest(push, "team-a/app", index, { tags: ["multi"] });
  await pushImage(push, "team-a/app", [], { subject: describe(mediaTypes.ociIndex, index) });
  for (const digest of [image.config, image.layer]) {
    await push.mount("team-b/app", pusher, { digest, from: "team-a/app", readable: () => true });
  }
  await pushManifest(push, "team-b/app", image.bytes, { tags: ["copy"] });
  const upload = await push.startUpload("team-a/app", pusher, { algorithm: "sha256" });
  await push.append("team-a/app", upload.id, pusher, { body: bodyOf("half") });
  await registry.rows("INSERT INTO repositories (name, upstream) VALUES ('cgr/nginx', 'default/cgr')");
  const document = JSON.stringify({ image: "cgr.dev/nginx", builds: [], tags: { "1.0": digestOf("1.0") }, pinned: {}, retired: {} });
  await registry.rows(
    "INSERT INTO ledgers (repository, document, revision) SELECT id, $1, 'r' FROM repositories WHERE name = 'cgr/nginx'",
    [document],
  );
  await registry.rows(
    "INSERT INTO ledger (repository, tag, digest, version) SELECT id, '1.0', $1, '1.0' FROM repositories WHERE name = 'cgr/nginx'",
    [digestOf("1.0")],
  );
});
afterEach(() => registry.close());

interface RunOptions {
  readonly deep: boolean;
  readonly repair?: boolean;
  readonly signal?: AbortSignal;
  /** Layers need not be here, in any repository. */
  readonly mayMissBlobs?: boolean;
  /** Milliseconds by which the audit's clock is ahead. */
  readonly later?: number;
}

async function run(options: RunOptions): Promise<{ lines: AuditLine[]; report: AuditReport }> {
  const { database, store } = registry;
  const { deep, repair, signal = new AbortController().signal, later = 0, mayMissBlobs = false } = options;
  const lines: AuditLine[] = [];
  const context = { database, store, signal, now: () => Date.now() + later, mayMissBlobs: () => mayMissBlobs };
  for await (const line of audit(context, { deep, ...(repair === undefined ? {} : { repair }) })) lines.push(line);
  const last = lines.pop();
  if (last === undefined || !("report" in last)) throw new Error("no report");
  return { lines, report: last.report };
}
const keyOf = async (digest: string) =>
  (await registry.rows<{ key: string }>("SELECT object_key AS key FROM blobs WHERE digest = $1", [digest]))[0]!.key;
/** Without constraints and triggers: what no code path can do. Usage is counted as the triggers would have. */
const damage = (statements: string) =>
  registry.rows(`BEGIN; SET LOCAL session_replication_role = replica; ${statements};
    DELETE FROM repository_usage;
    INSERT INTO repository_usage (repository, bytes) SELECT repository, length(bytes) FROM manifests UNION ALL SELECT repository, length(bytes) FROM trash;
    INSERT INTO repository_usage (repository, bytes) SELECT repository, size FROM repository_blobs JOIN blobs USING (digest);
    COMMIT`);
async function writeObject(key: string, bytes: Buffer): Promise<void> {
  const folder = join(registry.folder, "objects", key.slice(0, 2));
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, key), bytes);
}

test.each([false, true])("a healthy store has no findings (deep: %s)", async (deep) => {
  const { lines, report } = await run({ deep });
  expect(report).toEqual({ deep, findings: [], checked: { repositories: 3, manifests: 4, blobs: 4, objects: 5, bytes: 320, hashed: 4 } });
  const steps = new Set(lines.flatMap((line) => ("progress" in line ? [line.progress.step.split(":")[0]] : [])));
  expect([...steps]).toEqual(deep ? ["store", "rows", "manifests", "blobs"] : ["store", "rows", "sample"]);
});

test("what is on its way out is no finding: deleted, collected, doomed, swept", async () => {
  await registry.setTimes(noTimes);
  const doomed = await pushBlob(registry.push, "team-a/app");
  await registry.rows("UPDATE repository_blobs SET keep_until = now() WHERE digest = $1", [doomed]);
  await registry.rows("UPDATE gc_queue SET review_after = now()");
  expect((await run({ deep: true })).report.findings).toEqual([]);
  expect(await registry.collector(noTimes).runOnce()).toMatchObject({ blobs: 1, swept: 1 });
  expect((await run({ deep: true })).report.findings).toEqual([]);
});

interface Damage {
  readonly what: string;
  readonly deep: boolean;
  readonly plant: () => Promise<unknown>;
  readonly findings: () => Promise<readonly { invariant: number; subject: string; message: string }[]>;
}

let extra = "";
const damages: readonly Damage[] = [
  {
    what: "a missing object",
    deep: false,
    plant: async () => registry.store.delete([await keyOf(image.layer)]),
    findings: async () => [
      { invariant: 1, subject: image.layer, message: `has its bytes under ${await keyOf(image.layer)}, which is not in the store` },
    ],
  },
  {
    what: "a flipped byte",
    deep: true,
    plant: async () => writeObject(await keyOf(image.layer), Buffer.alloc(128, 7)),
    findings: async () => [
      {
        invariant: 1,
        subject: image.layer,
        message: `has bytes under ${await keyOf(image.layer)} that hash to ${digestOf(Buffer.alloc(128, 7))}`,
      },
    ],
  },
  {
    what: "a truncated object",
    deep: false,
    plant: async () => writeObject(await keyOf(image.layer), Buffer.alloc(100)),
    findings: async () => [
      { invariant: 5, subject: await keyOf(image.layer), message: "has 100 bytes in the store, and 128 bytes in the database" },
      {
        invariant: 1,
        subject: image.layer,
        message: `has bytes under ${await keyOf(image.layer)} that hash to ${digestOf(Buffer.alloc(100))}`,
      },
    ],
  },
  {
    what: "an object that nobody announced",
    deep: false,
    plant: () => writeObject((extra = randomUUID()), randomBytes(10)),
    findings: async () => [
      { invariant: 4, subject: extra, message: "is in the store (whole, size 10), and the database does not know it" },
    ],
  },
  {
    what: "a live object without a blob",
    deep: false,
    plant: async () => {
      await writeObject((extra = randomUUID()), randomBytes(10));
      await registry.rows("INSERT INTO objects (key, state, size, ever_live) VALUES ($1, 'live', 10, true)", [extra]);
    },
    findings: async () => [{ invariant: 4, subject: extra, message: "is live, and no blob has its bytes there" }],
  },
  {
    what: "a tag without its manifest",
    deep: false,
    plant: () => damage(`UPDATE tags SET digest = '${digestOf("x")}' WHERE name = 'v1'`),
    findings: async () => [{ invariant: 1, subject: "team-a/app:v1", message: `points at ${digestOf("x")}, which is not here` }],
  },
  {
    what: "a manifest that is gone with its rows left",
    deep: false,
    plant: () => damage(`DELETE FROM tags WHERE name IN ('v1'); DELETE FROM manifests WHERE digest = '${image.digest}' AND repository = 1`),
    findings: async () => [
      { invariant: 1, subject: `team-a/app@${digestOf(index)}`, message: `holds the manifest ${image.digest}, which is not here` },
      ...[image.config, image.layer]
        .toSorted()
        .map((digest) => ({ invariant: 1, subject: `team-a/app@${image.digest}`, message: `is not here, and still names ${digest}` })),
    ],
  },
  {
    what: "a blob that was unlinked under a manifest",
    deep: false,
    plant: () => damage(`DELETE FROM repository_blobs WHERE digest = '${image.layer}' AND repository = 1`),
    findings: async () => [
      { invariant: 1, subject: `team-a/app@${image.digest}`, message: `holds the blob ${image.layer}, which the repository does not have` },
    ],
  },
  {
    what: "a blob whose object was doomed",
    deep: false,
    plant: () => damage(`UPDATE objects SET state = 'doomed' WHERE key = (SELECT object_key FROM blobs WHERE digest = '${image.layer}')`),
    findings: async () => [
      { invariant: 1, subject: image.layer, message: `has its bytes under ${await keyOf(image.layer)}, which is doomed` },
    ],
  },
  {
    what: "a link without its blob",
    deep: false,
    plant: () => damage(`INSERT INTO repository_blobs (repository, digest, keep_until) VALUES (1, '${digestOf("x")}', now())`),
    findings: async () => [
      { invariant: 1, subject: `team-a/app@${digestOf("x")}`, message: "is a blob of the repository, and its bytes are not here" },
    ],
  },
  {
    what: "two contents under one digest",
    deep: false,
    plant: () => damage(`UPDATE manifests SET bytes = '{}' WHERE digest = '${image.digest}' AND repository = 1`),
    findings: async () => [{ invariant: 3, subject: image.digest, message: "is a manifest with 2 different contents" }],
  },
  {
    what: "manifest bytes that changed",
    deep: true,
    plant: () => damage(`UPDATE manifests SET bytes = bytes || ' ' WHERE digest = '${digestOf(index)}'`),
    findings: async () => [
      {
        invariant: 1,
        subject: `team-a/app@${digestOf(index)}`,
        message: `has bytes that hash to ${digestOf(Buffer.concat([index, Buffer.from(" ")]))}`,
      },
    ],
  },
  {
    what: "a reference that the tables lost",
    deep: true,
    plant: () => damage(`DELETE FROM manifest_blobs WHERE manifest = '${image.digest}' AND digest = '${image.layer}' AND repository = 1`),
    findings: async () => [
      {
        invariant: 1,
        subject: `team-a/app@${image.digest}`,
        message: `names the blobs ${image.layer} in its bytes or in the tables, not in both`,
      },
      { invariant: 1, subject: `team-a/app@${image.digest}`, message: `needs the blob ${image.layer}, and nothing holds it` },
    ],
  },
  {
    what: "a referrer that is listed nowhere",
    deep: true,
    plant: () => damage("UPDATE manifests SET subject = NULL WHERE subject IS NOT NULL"),
    findings: async () => {
      const [referrer] = await registry.rows<{ digest: string }>(
        "SELECT digest FROM manifests WHERE position('subject' in convert_from(bytes, 'UTF8')) > 0",
      );
      return [
        {
          invariant: 5,
          subject: `team-a/app@${referrer?.digest ?? ""}`,
          message: `has the subject ${digestOf(index)}, and is listed with none`,
        },
      ];
    },
  },
  {
    what: "sizes that do not add up",
    deep: false,
    plant: () => damage(`UPDATE blobs SET size = 1 WHERE digest = '${image.layer}'`),
    findings: async () => [{ invariant: 5, subject: image.layer, message: `has 1 bytes, and its object ${await keyOf(image.layer)} 128` }],
  },
  {
    what: "usage that does not add up",
    deep: false,
    plant: () => registry.rows("INSERT INTO repository_usage (repository, bytes) VALUES (1, -5)"),
    findings: async () => [{ invariant: 5, subject: "team-a/app", message: "is counted with 5 bytes less than it holds" }],
  },
  {
    what: "a version that the ledger does not have",
    deep: false,
    plant: () => registry.rows("UPDATE ledgers SET document = jsonb_set(document, '{tags}', '{}')"),
    findings: async () => [
      { invariant: 6, subject: "cgr/nginx:1.0", message: "is served as a version, and the published ledger does not have it" },
    ],
  },
  {
    what: "a version that is served as something else",
    deep: false,
    plant: () => registry.rows("UPDATE ledger SET digest = $1", [digestOf("other")]),
    findings: async () => [
      {
        invariant: 6,
        subject: "cgr/nginx:1.0",
        message: `is served as ${digestOf("other")}, and the published ledger says ${digestOf("1.0")}`,
      },
    ],
  },
  {
    what: "a version that is not served",
    deep: false,
    plant: () => registry.rows("DELETE FROM ledger"),
    findings: async () => [{ invariant: 6, subject: "cgr/nginx:1.0", message: "is in the published ledger, and is not served" }],
  },
];

test.each(damages)("finds $what", async ({ deep, plant, findings }) => {
  await plant();
  expect((await run({ deep })).report.findings).toEqual(await findings());
});

describeTests("a pushed blob whose lost bytes were let go", () => {
  const letGo = async () => {
    const key = await keyOf(image.layer);
    await registry.store.delete([key]);
    expect(await letGoOfBytes(registry.database, image.layer, key)).toBe(true);
  };
  const lost = () =>
    ["team-a/app", "team-b/app"].map((repository) => ({
      invariant: 1,
      subject: `${repository}@${image.digest}`,
      message: `lost the bytes of ${image.layer}; import the image again, or push it with docker, podman or skopeo`,
    }));

  test.each([
    { deep: false, mayMissBlobs: false },
    { deep: true, mayMissBlobs: false },
    { deep: true, mayMissBlobs: true },
  ])("is named with its images by every audit, once, until it is here again: %o", async ({ deep, mayMissBlobs }) => {
    const layer = await readBlob(registry.pull, "team-a/app", image.layer);
    await letGo();
    expect((await run({ deep, mayMissBlobs })).report.findings).toEqual(lost());
    for (const repository of ["team-a/app", "team-b/app"]) await pushBlob(registry.push, repository, layer);
    expect((await run({ deep, mayMissBlobs })).report.findings).toEqual([]);
  });

  test("is nobody's loss once its images are deleted, nor where it was cached", async () => {
    await letGo();
    await registry.push.deleteManifest("team-b/app", { digest: image.digest }, pusher, unprotected);
    await registry.rows("UPDATE repositories SET upstream = 'default/hub' WHERE name = 'team-a/app'");
    expect((await run({ deep: false })).report.findings).toEqual([]);
  });
});

test("audits beside pushes, deletes and the collector find nothing", async () => {
  await registry.setTimes(noTimes);
  const collector = registry.collector(noTimes);
  const state = { busy: true };
  const traffic = (async () => {
    for (let n = 0; n < 25; n++) {
      // Without a lease the collector may take the blobs before the manifest names them; then there is nothing to delete.
      const { digest } = await pushImage(registry.push, "team-c/app", [`t${n}`]).catch(() => ({ digest: undefined }));
      if (digest !== undefined) await registry.push.deleteManifest("team-c/app", { digest }, pusher, unprotected);
      await collector.runOnce();
    }
    state.busy = false;
  })();
  let audits = 0;
  for (; state.busy; audits++) expect((await run({ deep: true })).report.findings).toEqual([]);
  await traffic;
  expect(audits).toBeGreaterThan(1);
});

test("what changed between the listing and the question is looked at again", async () => {
  const { push, database, store } = registry;
  const bytes = Buffer.from("a blob that becomes whole");
  const upload = await push.startUpload("team-a/app", pusher, { algorithm: "sha256" });
  await push.append("team-a/app", upload.id, pusher, { body: bodyOf(bytes) });
  await registry.setTimes(noTimes);
  const doomed = await pushBlob(push, "team-a/app");
  const meanwhile = async () => {
    await registry.setTimes(longTimes);
    await push.complete("team-a/app", upload.id, pusher, { digest: digestOf(bytes), body: bodyOf() });
    await registry.setTimes(noTimes);
    await registry.rows("UPDATE repository_blobs SET keep_until = now() WHERE digest = $1", [doomed]);
    await registry.rows("UPDATE gc_queue SET review_after = now() WHERE digest = $1", [doomed]);
    expect(await registry.collector(noTimes).runOnce()).toMatchObject({ swept: 1 });
  };
  const slow: AuditedStore = {
    open: (key) => store.open(key),
    delete: (keys) => store.delete(keys),
    async *list() {
      const listed = [];
      for await (const object of store.list()) listed.push(object);
      await meanwhile();
      yield* listed;
    },
  };
  const lines: AuditLine[] = [];
  for await (const line of audit({ database, store: slow, signal: new AbortController().signal }, { deep: false })) lines.push(line);
  expect(lines.at(-1)).toMatchObject({ report: { findings: [] } });
});

describeTests("repair", () => {
  const week = 7 * 24 * 3_600_000;
  /** Bytes under a key that no database announced. */
  async function unknownObject(): Promise<string> {
    const writer = await registry.store.create(async () => undefined);
    await writer.write([Buffer.from("nobody knows")]);
    return writer.commit(digestOf("nobody knows"));
  }
  const listed = async () => {
    const keys: string[] = [];
    for await (const { key } of registry.store.list()) keys.push(key);
    return keys;
  };

  test("deletes unknown objects that are older than a week, and only then, and only when it is asked to", async () => {
    const key = await unknownObject();
    const finding = { invariant: 4, subject: key, message: "is in the store (whole, size 12), and the database does not know it" };
    expect((await run({ deep: false, later: week })).report.findings).toEqual([finding]);
    expect((await run({ deep: false, repair: true, later: week - 3_600_000 })).report.findings).toEqual([
      { ...finding, message: `${finding.message}; not deleted: it is younger than 7 days` },
    ]);
    await pauseGc(registry.database, "database-behind", "restored");
    expect((await run({ deep: false, repair: true, later: week })).report.findings).toEqual([
      { ...finding, message: `${finding.message}; not deleted while deletions are paused (database-behind)` },
    ]);
    await endGcPauses(registry.database, ["database-behind"]);
    expect(await listed()).toContain(key);
    expect((await run({ deep: false, repair: true, later: week })).report.findings).toEqual([{ ...finding, repaired: "deleted" }]);
    expect(await listed()).toHaveLength(5);
    expect((await run({ deep: false, repair: true, later: week })).report.findings).toEqual([]);
  });

  test("deletes nothing where most of the store is unknown", async () => {
    for (let count = 0; count < 6; count++) await unknownObject();
    const { findings } = (await run({ deep: false, repair: true, later: week })).report;
    expect(findings).toHaveLength(6);
    for (const { message, repaired } of findings)
      expect([message, repaired]).toEqual([expect.stringContaining("the wrong one"), undefined]);
    expect(await listed()).toHaveLength(11);
  });

  test("more than the report lists is checked and repaired all the same, counted, and hides nothing of another kind", async () => {
    const known = 1_500;
    const listedOfOneKind = 1_000;
    const keys = new Set<string>(Array.from({ length: listedOfOneKind + 100 }, () => randomUUID()));
    await registry.rows(`
      BEGIN;
      CREATE TEMPORARY TABLE made AS SELECT gen_random_uuid()::text AS key, 'sha256:' || encode(sha256(n::text::bytea), 'hex') AS digest FROM generate_series(1, ${known}) n;
      INSERT INTO objects (key, state, size) SELECT key, 'live', 1 FROM made;
      INSERT INTO blobs (digest, size, object_key) SELECT digest, 1, key FROM made;
      DROP TABLE made;
      COMMIT
    `);
    const made = new Set((await registry.rows<{ key: string }>("SELECT key FROM objects WHERE size = 1")).map(({ key }) => key));
    const modified = new Date();
    const { database, store } = registry;
    await store.delete([await keyOf(image.layer)]);
    const large: AuditedStore = {
      async open(key) {
        if (made.has(key)) throw new BlobStoreError("NotFound", "not in this test");
        return keys.has(key) ? { size: 1, read: async () => 0, close: async () => undefined } : store.open(key);
      },
      async delete(deleted) {
        for (const key of deleted) keys.delete(key);
        return new Map(deleted.map((key) => [key, undefined]));
      },
      async *list() {
        yield* store.list();
        for (const key of [...made, ...keys]) yield { key, size: 1, modified, finished: true };
      },
    };
    const lines: AuditLine[] = [];
    const context = { database, store: large, signal: new AbortController().signal, now: () => Date.now() + week };
    for await (const line of audit(context, { deep: false, repair: true })) lines.push(line);
    const last = lines.at(-1);
    const report = last !== undefined && "report" in last ? last.report : undefined;
    expect(keys.size).toBe(0);
    expect(report?.truncated).toEqual({ found: listedOfOneKind + 101, repaired: listedOfOneKind + 100 });
    expect(report?.findings).toHaveLength(listedOfOneKind + 1);
    expect(report?.findings.filter(({ repaired }) => repaired === undefined)).toMatchObject([{ invariant: 1, subject: image.layer }]);
  });

  test("so many rows that contradict one another that a question does not name them all", async () => {
    await damage(
      `INSERT INTO tags (repository, name, digest) SELECT 1, 't' || n, '${digestOf("nowhere")}' FROM generate_series(1, 1001) n`,
    );
    const { findings, truncated } = (await run({ deep: false })).report;
    expect(findings).toHaveLength(1_000);
    expect(truncated).toEqual({ found: 1_000, repaired: 0 });
  });

  test("counts again what a repository holds, for whoever audits at the same time once, and pushes go on", async () => {
    await registry.rows("INSERT INTO repository_usage (repository, bytes) VALUES (1, 1000), (2, -7)");
    const pushes = Promise.all(["a", "b", "c"].map(() => pushImage(registry.push, "team-a/app")));
    const audits = await Promise.all([1, 2, 3].map(() => run({ deep: false, repair: true })));
    await pushes;
    const findings = audits.flatMap(({ report }) => report.findings);
    const counted = (subject: string, message: string) => ({ invariant: 5, subject, message, repaired: "counted again" });
    expect(findings).toContainEqual(counted("team-a/app", "is counted with 1000 bytes more than it holds"));
    expect(findings).toContainEqual(counted("team-b/app", "is counted with 7 bytes less than it holds"));
    expect((await run({ deep: false })).report.findings).toEqual([]);
  });

  test("a pushed blob that lost its bytes stays an alarm", async () => {
    await registry.store.delete([await keyOf(image.layer)]);
    const { findings } = (await run({ deep: true, repair: true, later: week })).report;
    expect(findings).toEqual([
      { invariant: 1, subject: image.layer, message: expect.stringMatching(/^has its bytes under .* not in the store$/) },
    ]);
  });
});

test("an audit ends when nobody listens any more", async () => {
  await expect(run({ deep: true, signal: AbortSignal.abort(new Error("gone")) })).rejects.toThrow("gone");
});
