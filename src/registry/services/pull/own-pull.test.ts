import { afterAll, beforeAll, describe, expect, test } from "vitest";

import {
  longTimes,
  openOwnRegistry,
  pushBlob,
  pusher,
  pushImage,
  readBlob,
  reader,
  type OwnRegistry,
} from "../../../../test/support/own-registry.ts";
import { digestOf, type Digest } from "../../../domain/digest.ts";
import { listRepositories } from "../../metadata/repositories.ts";

let registry: OwnRegistry;
beforeAll(async () => {
  registry = await openOwnRegistry();
});
afterAll(() => registry.close());

const repository = "team/app";

describe("what is not there", () => {
  test("has the code that tells what is missing", async () => {
    const digest = digestOf("never");
    const { pull } = registry;
    for (const head of [true, false]) {
      for (const caller of [reader, pusher]) {
        await expect(pull.manifest("no/such", { tag: "x" }, caller, { head })).rejects.toMatchObject({ code: "NAME_UNKNOWN" });
        await expect(pull.blob("no/such", digest, caller, { head })).rejects.toMatchObject({ code: "NAME_UNKNOWN" });
      }
    }
    await expect(pull.tags("no/such", reader, { limit: 1 })).rejects.toMatchObject({ code: "NAME_UNKNOWN" });
    await pushBlob(registry.push, repository);
    for (const head of [true, false]) {
      for (const caller of [reader, pusher]) {
        await expect(pull.manifest(repository, { tag: "x" }, caller, { head })).rejects.toMatchObject({ code: "MANIFEST_UNKNOWN" });
        await expect(pull.manifest(repository, { digest }, caller, { head })).rejects.toMatchObject({ code: "MANIFEST_UNKNOWN" });
        await expect(pull.blob(repository, digest, caller, { head })).rejects.toMatchObject({ code: "BLOB_UNKNOWN" });
      }
    }
    expect(await pull.tags(repository, reader, { limit: 1 })).toEqual({ tags: [], more: false });
  });

  test("a blob is readable only in a repository that has it", async () => {
    const digest = await pushBlob(registry.push, "team/private");
    await expect(registry.pull.blob(repository, digest, reader, { head: false })).rejects.toMatchObject({ code: "BLOB_UNKNOWN" });
  });
});

describe("lists", () => {
  test("tags are sorted bytewise and paged by key", async () => {
    const names = ["B", "a", "1.10", "1.9", "_x", "a-b", "a.b", "Z"];
    await pushImage(registry.push, "lists/app", names);
    const all: string[] = [];
    for (let after: string | undefined; ;) {
      const page = await registry.pull.tags("lists/app", reader, { limit: 3, after });
      all.push(...page.tags);
      after = page.tags.at(-1);
      if (!page.more) break;
    }
    expect(all).toEqual(names.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
    expect(await registry.pull.tags("lists/app", reader, { limit: 3, after: "zzz" })).toEqual({ tags: [], more: false });
    expect(await registry.pull.tags("lists/app", reader, { limit: 0 })).toMatchObject({ tags: [] });
  });

  test("repositories too", async () => {
    for (const name of ["lists/b", "lists/a-b", "lists/a/b", "lists/a"]) await pushBlob(registry.push, name);
    const names = (await listRepositories(registry.database, { after: "lists", limit: 4 })).map(({ name }) => name);
    expect(names).toEqual(["lists/a", "lists/a-b", "lists/a/b", "lists/app"]);
  });
});

describe("leases (U3)", () => {
  const keepUntil = async (table: string, digest: Digest) => {
    const rows = await registry.rows<{ left: number }>(
      `SELECT extract(epoch FROM keep_until - now())::float8 AS left FROM ${table} WHERE digest = $1`,
      [digest],
    );
    return rows[0]!.left;
  };
  const shorten = (table: string, digest: Digest, seconds: number) =>
    registry.rows(`UPDATE ${table} SET keep_until = now() + make_interval(secs => $2) WHERE digest = $1`, [digest, seconds]);

  test.each(["blob", "manifest"] as const)(
    "HEAD of a %s by somebody who may push extends it, when less than half is left",
    async (kind) => {
      await registry.setTimes({ ...longTimes, lease: 1_000_000 });
      const image = await pushImage(registry.push, "lease/app", ["v1"]);
      const digest = kind === "blob" ? image.layer : image.digest;
      const table = kind === "blob" ? "repository_blobs" : "manifests";
      const ask = (caller: typeof reader, head: boolean) =>
        kind === "blob"
          ? registry.pull.blob("lease/app", digest, caller, { head })
          : registry.pull.manifest("lease/app", head ? { tag: "v1" } : { digest }, caller, { head });
      await shorten(table, digest, 600);
      await ask(pusher, true);
      expect(await keepUntil(table, digest)).toBeLessThan(601);
      for (const left of [400, -400]) {
        await shorten(table, digest, left);
        await ask(reader, true);
        await ask(pusher, false);
        expect(await keepUntil(table, digest)).toBeLessThan(401);
        await ask(pusher, true);
        expect(await keepUntil(table, digest)).toBeGreaterThan(900);
      }
    },
  );

  test("mount and a push of the same bytes extend it", async () => {
    await registry.setTimes({ ...longTimes, lease: 1_000_000 });
    const bytes = Buffer.from("leased");
    const digest = await pushBlob(registry.push, "lease/again", bytes);
    for (const again of [
      () => pushBlob(registry.push, "lease/again", bytes),
      () => registry.push.mount("lease/again", pusher, { digest, readable: () => false }),
    ]) {
      await shorten("repository_blobs", digest, -5);
      await again();
      expect(await keepUntil("repository_blobs", digest)).toBeGreaterThan(900);
    }
  });
});

test("a pull is one statement", async () => {
  const image = await pushImage(registry.push, "few/app", ["v1"]);
  registry.statements();
  await registry.pull.manifest("few/app", { tag: "v1" }, reader, { head: false });
  await registry.pull.manifest("few/app", { digest: image.digest }, pusher, { head: true });
  await registry.pull.blob("few/app", image.layer, reader, { head: false });
  await registry.pull.blob("few/app", image.layer, pusher, { head: true });
  await registry.pull.tags("few/app", reader, { limit: 10 });
  await registry.pull.referrers("few/app", image.digest, reader, {});
  expect(registry.statements()).toEqual([
    "repository-find",
    "manifest-by-tag",
    "manifest-claim-by-digest",
    "blob-find",
    "blob-claim",
    "tag-list",
    "referrer-list",
  ]);
});

describe("bytes behind a key that is not found", () => {
  test("are looked up again: pushed again under another key they are served", async () => {
    const bytes = Buffer.from("moved");
    const digest = await pushBlob(registry.push, "moved/app", bytes);
    const answer = await registry.pull.blob("moved/app", digest, reader, { head: false });
    // As if it had been collected and pushed again between the answer and the opening.
    const [old] = await registry.rows<{ key: string }>("SELECT object_key AS key FROM blobs WHERE digest = $1", [digest]);
    await registry.store.delete([old!.key]);
    const writer = await registry.store.create(async () => undefined);
    await writer.write([bytes]);
    const key = await writer.commit(digest);
    await registry.rows("INSERT INTO objects (key, state) VALUES ($1, 'live')", [key]);
    await registry.rows("UPDATE blobs SET object_key = $2 WHERE digest = $1", [digest, key]);
    const opened = await answer.open();
    expect(opened.size).toBe(bytes.byteLength);
    await opened.close();
  });

  test("are a failure of the store when the database still names them, and BLOB_UNKNOWN when it does not", async () => {
    const digest = await pushBlob(registry.push, "lost/app", Buffer.from("lost"));
    const answer = await registry.pull.blob("lost/app", digest, reader, { head: false });
    const [row] = await registry.rows<{ key: string }>("SELECT object_key AS key FROM blobs WHERE digest = $1", [digest]);
    await registry.store.delete([row!.key]);
    await expect(answer.open()).rejects.toMatchObject({ name: "BlobStoreError", code: "NotFound" });
    await registry.push.deleteBlob("lost/app", digest, pusher);
    await expect(answer.open()).rejects.toMatchObject({ code: "BLOB_UNKNOWN" });
  });
});

test("pulls are counted by tag and by digest, in memory until they are flushed", async () => {
  const image = await pushImage(registry.push, "counted/app", ["v1"]);
  await registry.statistics.flush();
  const counts = () =>
    registry.rows("SELECT digest, tag, count, last_at > now() - interval '1 minute' AS fresh FROM pulls WHERE digest = $1 ORDER BY tag", [
      image.digest,
    ]);
  for (let pull = 0; pull < 3; pull++) await registry.pull.manifest("counted/app", { tag: "v1" }, reader, { head: pull === 0 });
  await registry.pull.manifest("counted/app", { digest: image.digest }, reader, { head: false });
  expect(await counts()).toEqual([]);
  await registry.statistics.flush();
  await registry.pull.manifest("counted/app", { tag: "v1" }, reader, { head: false });
  await registry.statistics.stop();
  expect(await counts()).toEqual([
    { digest: image.digest, tag: "", count: 1, fresh: true },
    { digest: image.digest, tag: "v1", count: 4, fresh: true },
  ]);
});

test("a blob that is being read survives its end", async () => {
  const bytes = Buffer.from("still served");
  const digest = await pushBlob(registry.push, "reading/app", bytes);
  const opened = await (await registry.pull.blob("reading/app", digest, reader, { head: false })).open();
  const [row] = await registry.rows<{ key: string }>("SELECT object_key AS key FROM blobs WHERE digest = $1", [digest]);
  await registry.store.delete([row!.key]);
  const buffer = Buffer.alloc(bytes.byteLength);
  expect(await opened.read(buffer, 0)).toBe(bytes.byteLength);
  await opened.close();
  await expect(readBlob(registry.pull, "reading/app", digest)).rejects.toMatchObject({ code: "NotFound" });
});
