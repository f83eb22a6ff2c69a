import { randomBytes } from "node:crypto";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import {
  bodyOf,
  brokenBody,
  openOwnRegistry,
  pushBlob,
  pusher,
  readBlob,
  reader,
  type OwnRegistry,
} from "../../../../test/support/own-registry.ts";
import { digestOf } from "../../../domain/digest.ts";

let registry: OwnRegistry;
beforeAll(async () => {
  registry = await openOwnRegistry();
});
afterAll(() => registry.close());

const repository = "team/app";
const start = () => registry.push.startUpload(repository, pusher, { algorithm: "sha256" });
const gone = { code: "BLOB_UPLOAD_UNKNOWN" };
const objects = async () => (await registry.rows<{ count: number }>("SELECT count(*) AS count FROM objects"))[0]!.count;

describe("a session", () => {
  test("docker's way: one PATCH, an empty PUT; the PUT reads nothing again", async () => {
    const bytes = randomBytes(3 * 1024 * 1024);
    const { id, offset } = await start();
    expect(offset).toBe(0);
    const pieces = Array.from({ length: 48 }, (_, index) => bytes.subarray(index * 65_536, (index + 1) * 65_536));
    expect(await registry.push.append(repository, id, pusher, { body: bodyOf(...pieces) })).toEqual({ id, offset: bytes.byteLength });
    // Another process, which has no hash in memory: the digest of the prefix is in the row.
    const other = await registry.anotherPush();
    const reread = registry.store.reread.bind(registry.store);
    registry.store.reread = () => {
      throw new Error("the bytes were read again");
    };
    try {
      await other.complete(repository, id, pusher, { digest: digestOf(bytes), body: bodyOf() });
    } finally {
      registry.store.reread = reread;
    }
    expect((await readBlob(registry.pull, repository, digestOf(bytes))).equals(bytes)).toBe(true);
    await expect(registry.push.uploadStatus(repository, id, pusher)).rejects.toMatchObject(gone);
  });

  test("containerd's way: the whole blob in the PUT", async () => {
    const { id } = await start();
    await registry.push.complete(repository, id, pusher, { digest: digestOf("whole"), length: 5, body: bodyOf("whole") });
    expect((await readBlob(registry.pull, repository, digestOf("whole"))).toString()).toBe("whole");
  });

  test("chunks in order; wrong order is 416 and takes nothing", async () => {
    const { id } = await start();
    await registry.push.append(repository, id, pusher, { start: 0, length: 3, body: bodyOf("abc") });
    for (const wrong of [0, 2, 4]) {
      await expect(registry.push.append(repository, id, pusher, { start: wrong, length: 3, body: bodyOf("xyz") })).rejects.toMatchObject({
        code: "RANGE_INVALID",
        detail: { offset: 3 },
      });
    }
    expect(await registry.push.uploadStatus(repository, id, pusher)).toEqual({ id, offset: 3 });
    await registry.push.append(repository, id, pusher, { start: 3, length: 3, body: bodyOf("def") });
    const digest = digestOf("abcdefghi");
    await expect(registry.push.complete(repository, id, pusher, { digest, start: 5, body: bodyOf("ghi") })).rejects.toMatchObject({
      code: "RANGE_INVALID",
    });
    await registry.push.complete(repository, id, pusher, { digest, start: 6, length: 3, body: bodyOf("ghi") });
    expect((await readBlob(registry.pull, repository, digest)).toString()).toBe("abcdefghi");
  });

  test("chunks over several processes read the prefix once and go on", async () => {
    const { id } = await start();
    await registry.push.append(repository, id, pusher, { body: bodyOf("one ") });
    await (await registry.anotherPush()).append(repository, id, pusher, { body: bodyOf("two ") });
    const digest = digestOf("one two three");
    await (await registry.anotherPush()).complete(repository, id, pusher, { digest, body: bodyOf("three") });
    expect((await readBlob(registry.pull, repository, digest)).toString()).toBe("one two three");
  });

  test("a probe makes no object, no repository, takes no prefix", async () => {
    const before = await objects();
    const { id } = await registry.push.startUpload("probe/app", pusher, { algorithm: "sha256" });
    await registry.push.append("probe/app", id, pusher, { body: bodyOf() });
    await registry.push.cancel("probe/app", id, pusher);
    expect(await objects()).toBe(before);
    expect(await registry.rows("SELECT FROM prefixes WHERE prefix = 'probe'")).toEqual([]);
    expect(await registry.rows("SELECT FROM repositories WHERE name = 'probe/app'")).toEqual([]);
  });

  test("the key is announced before the first byte is written", async () => {
    const { id } = await start();
    const create = registry.store.create.bind(registry.store);
    const known: unknown[] = [];
    registry.store.create = (announce) =>
      create(async (key) => {
        await announce(key);
        known.push(...(await registry.rows("SELECT state FROM objects WHERE key = $1", [key])));
      });
    try {
      await registry.push.append(repository, id, pusher, { body: bodyOf("x") });
    } finally {
      registry.store.create = create;
    }
    expect(known).toEqual([{ state: "uploading" }]);
    await registry.push.cancel(repository, id, pusher);
  });

  test("cancel ends it and gives its bytes up at once", async () => {
    const { id } = await start();
    await registry.push.append(repository, id, pusher, { body: bodyOf("unwanted") });
    const [row] = await registry.rows<{ key: string }>("SELECT object_key AS key FROM uploads WHERE id = $1", [id]);
    await registry.push.cancel(repository, id, pusher);
    expect(await registry.rows("SELECT state, sweep_after <= now() AS due FROM objects WHERE key = $1", [row!.key])).toEqual([
      { state: "doomed", due: true },
    ]);
    await expect(registry.push.uploadStatus(repository, id, pusher)).rejects.toMatchObject(gone);
    await expect(registry.push.cancel(repository, id, pusher)).rejects.toMatchObject(gone);
    await expect(registry.push.append(repository, id, pusher, { body: bodyOf("x") })).rejects.toMatchObject(gone);
  });

  test("belongs to its repository and to who opened it", async () => {
    const { id } = await start();
    await expect(registry.push.uploadStatus("team/other", id, pusher)).rejects.toMatchObject(gone);
    await expect(registry.push.append(repository, id, { ...pusher, identity: "user:eve" }, { body: bodyOf("x") })).rejects.toMatchObject(
      gone,
    );
    const eve = { ...pusher, identity: "user:eve" };
    const userAdmin = { ...pusher, identity: "user:admin" };
    for (const other of [eve, userAdmin, reader]) {
      await expect(registry.push.uploadStatus(repository, id, other)).rejects.toMatchObject(gone);
      await expect(registry.push.cancel(repository, id, other)).rejects.toMatchObject(gone);
    }
    expect(await registry.push.uploadStatus(repository, id, pusher)).toEqual({ id, offset: 0 });
    const admin = { ...pusher, identity: "admin" };
    expect(await registry.push.uploadStatus(repository, id, admin)).toEqual({ id, offset: 0 });
    await registry.push.cancel(repository, id, admin);
    await expect(registry.push.uploadStatus(repository, id, pusher)).rejects.toMatchObject(gone);
    for (const nonsense of ["", "not-a-uuid", "../../..", "00000000-0000-0000-0000-000000000000"]) {
      await expect(registry.push.uploadStatus(repository, nonsense, pusher)).rejects.toMatchObject(gone);
    }
  });

  test("lasts ten minutes without a byte, and longer from the first one on", async () => {
    const { id } = await start();
    const minutes = async () => {
      const [row] = await registry.rows<{ minutes: number }>(
        "SELECT round(extract(epoch FROM expires_at - now()) / 60)::int AS minutes FROM uploads WHERE id = $1",
        [id],
      );
      return row?.minutes;
    };
    expect(await minutes()).toBe(10);
    await registry.push.append(repository, id, pusher, { body: bodyOf() });
    expect(await minutes()).toBe(10);
    await registry.push.append(repository, id, pusher, { body: bodyOf("x") });
    expect(await minutes()).toBe(60);
    await registry.push.append(repository, id, pusher, { body: bodyOf() });
    expect(await minutes()).toBe(60);
  });

  test("an expired one is gone", async () => {
    const { id } = await start();
    await registry.rows("UPDATE uploads SET expires_at = now() - interval '1 second' WHERE id = $1", [id]);
    await expect(registry.push.append(repository, id, pusher, { body: bodyOf("x") })).rejects.toMatchObject(gone);
  });

  test("under the prefix of an Upstream it is refused", async () => {
    await registry.rows("INSERT INTO prefixes VALUES ('hub', 'proxied', 'default/hub'), ('old', 'retired', 'default/old')");
    await expect(registry.push.startUpload("hub/library/alpine", pusher, { algorithm: "sha256" })).rejects.toMatchObject({
      code: "UNSUPPORTED",
      message: expect.stringContaining("default/hub"),
    });
    await expect(registry.push.startUpload("old/x", pusher, { algorithm: "sha256" })).rejects.toMatchObject({ code: "UNSUPPORTED" });
    await expect(pushBlob(registry.push, "hub/x")).rejects.toMatchObject({ code: "UNSUPPORTED" });
    await expect(pushBlob(registry.push, "old/x")).rejects.toMatchObject({ code: "UNSUPPORTED" });
  });
});

describe("bytes that are wrong", () => {
  test("a wrong digest is DIGEST_INVALID, ends the session and leaves nothing", async () => {
    const { id } = await start();
    await registry.push.append(repository, id, pusher, { body: bodyOf("right") });
    const claimed = digestOf("wrong");
    await expect(registry.push.complete(repository, id, pusher, { digest: claimed, body: bodyOf() })).rejects.toMatchObject({
      code: "DIGEST_INVALID",
      detail: { claimed, actual: digestOf("right") },
    });
    await expect(registry.push.uploadStatus(repository, id, pusher)).rejects.toMatchObject(gone);
    for (const digest of [claimed, digestOf("right")]) {
      await expect(registry.pull.blob(repository, digest, reader, { head: true })).rejects.toMatchObject({ code: "BLOB_UNKNOWN" });
    }
  });

  test("what arrives is given back as soon as it is written, and not before", async () => {
    const { id } = await start();
    const bytes = randomBytes(5 * 1024 * 1024);
    const digest = digestOf(bytes);
    const pieces: Buffer[] = [];
    let most = 0;
    const body = (async function* () {
      for (let from = 0; from < bytes.byteLength; from += 65_536) {
        const piece = Buffer.from(Uint8Array.from(bytes.subarray(from, from + 65_536)).buffer);
        pieces.push(piece);
        yield piece;
        most = Math.max(most, pieces.filter(({ byteLength }) => byteLength > 0).length);
      }
    })();
    await registry.push.complete(repository, id, pusher, { digest, body });
    expect(pieces.map(({ byteLength }) => byteLength)).toEqual(pieces.map(() => 0));
    // One write under way and one that is being gathered.
    expect(most * 65_536).toBeLessThanOrEqual(2 * 1024 * 1024);
    expect((await readBlob(registry.pull, repository, digest)).equals(bytes)).toBe(true);
  });

  test("a body that breaks in a PATCH counts as far as it came", async () => {
    const { id } = await start();
    await expect(registry.push.append(repository, id, pusher, { body: brokenBody("hello ") })).rejects.toThrow("connection lost");
    expect(await registry.push.uploadStatus(repository, id, pusher)).toEqual({ id, offset: 6 });
    const digest = digestOf("hello world");
    await registry.push.complete(repository, id, pusher, { digest, start: 6, body: bodyOf("world") });
    expect((await readBlob(registry.pull, repository, digest)).toString()).toBe("hello world");
  });

  test("a body that breaks in a PUT leaves nothing, and the session as it was", async () => {
    const { id } = await start();
    await registry.push.append(repository, id, pusher, { body: bodyOf("12") });
    const digest = digestOf("1234");
    await expect(registry.push.complete(repository, id, pusher, { digest, body: brokenBody("3") })).rejects.toThrow("connection lost");
    expect(await registry.push.uploadStatus(repository, id, pusher)).toEqual({ id, offset: 2 });
    await registry.push.complete(repository, id, pusher, { digest, body: bodyOf("34") });
    expect((await readBlob(registry.pull, repository, digest)).toString()).toBe("1234");
  });

  test("fewer or more bytes than announced are SIZE_INVALID and none are taken", async () => {
    const { id } = await start();
    for (const length of [3, 9]) {
      await expect(registry.push.append(repository, id, pusher, { length, body: bodyOf("12345") })).rejects.toMatchObject({
        code: "SIZE_INVALID",
        detail: { announced: length, received: 5 },
      });
    }
    expect(await registry.push.uploadStatus(repository, id, pusher)).toEqual({ id, offset: 0 });
    await registry.push.append(repository, id, pusher, { length: 2, body: bodyOf("ok") });
    await registry.push.complete(repository, id, pusher, { digest: digestOf("ok"), body: bodyOf() });
    expect((await readBlob(registry.pull, repository, digestOf("ok"))).toString()).toBe("ok");
  });
});

describe("two requests on one session", () => {
  test("the second ends the first, which had not finished, and takes over where the session was", async () => {
    const { id } = await start();
    await registry.push.append(repository, id, pusher, { body: bodyOf("base ") });
    let stuck: () => void = () => undefined;
    const reached = new Promise<void>((resolve) => (stuck = resolve));
    const first = registry.push.append(repository, id, pusher, {
      body: (async function* () {
        yield Buffer.from("lost");
        stuck();
        await new Promise(() => undefined);
      })(),
    });
    const ended = first.catch((error: unknown) => error);
    await reached;
    expect(await registry.push.append(repository, id, pusher, { start: 5, body: bodyOf("kept") })).toEqual({ id, offset: 9 });
    expect(await ended).toMatchObject(gone);
    await registry.push.complete(repository, id, pusher, { digest: digestOf("base kept"), body: bodyOf() });
    expect((await readBlob(registry.pull, repository, digestOf("base kept"))).toString()).toBe("base kept");
  });

  test("who may not continue, or not there, ends nobody", async () => {
    const { id } = await start();
    await registry.push.append(repository, id, pusher, { body: bodyOf("base ") });
    const reached = Promise.withResolvers<void>();
    const refused = Promise.withResolvers<void>();
    const first = registry.push.append(repository, id, pusher, {
      body: (async function* () {
        yield Buffer.from("go");
        reached.resolve();
        await refused.promise;
        yield Buffer.from("od");
      })(),
    });
    await reached.promise;
    const eve = { ...pusher, identity: "user:eve" };
    const digest = digestOf("base x");
    await expect(registry.push.append(repository, id, eve, { body: bodyOf("x") })).rejects.toMatchObject(gone);
    await expect(registry.push.append(repository, id, eve, { start: 5, body: bodyOf("x") })).rejects.toMatchObject(gone);
    await expect(registry.push.complete(repository, id, eve, { digest, body: bodyOf("x") })).rejects.toMatchObject(gone);
    for (const wrong of [0, 7]) {
      const outOfOrder = { code: "RANGE_INVALID", detail: { offset: 5 } };
      await expect(registry.push.append(repository, id, pusher, { start: wrong, body: bodyOf("x") })).rejects.toMatchObject(outOfOrder);
      await expect(registry.push.complete(repository, id, pusher, { digest, start: wrong, body: bodyOf("x") })).rejects.toMatchObject(
        outOfOrder,
      );
    }
    refused.resolve();
    expect(await first).toEqual({ id, offset: 9 });
    await registry.push.complete(repository, id, pusher, { digest: digestOf("base good"), body: bodyOf() });
  });

  test("a request whose session another process took can change nothing any more", async () => {
    const { id } = await start();
    const other = await registry.anotherPush();
    const first = registry.push.append(repository, id, pusher, {
      body: (async function* () {
        yield Buffer.from("mine");
        await other.append(repository, id, pusher, { start: 0, body: bodyOf("theirs") });
        yield Buffer.from("more");
      })(),
    });
    await expect(first).rejects.toMatchObject(gone);
    expect(await registry.push.uploadStatus(repository, id, pusher)).toEqual({ id, offset: 6 });
  });

  test("ten at once: one blob, and every answer is true", async () => {
    const { id } = await start();
    const digest = digestOf("the same bytes");
    const answers = await Promise.allSettled(
      Array.from({ length: 10 }, () => registry.push.complete(repository, id, pusher, { digest, body: bodyOf("the same ", "bytes") })),
    );
    const refused = answers.filter((answer) => answer.status === "rejected").map(({ reason }) => (reason as { code: string }).code);
    expect(refused.every((code) => code === "BLOB_UPLOAD_UNKNOWN")).toBe(true);
    expect(answers.some(({ status }) => status === "fulfilled")).toBe(true);
    expect((await readBlob(registry.pull, repository, digest)).toString()).toBe("the same bytes");
  });
});

describe("the answer got lost", () => {
  test("a PUT to a session that is gone succeeds when this repository has the digest", async () => {
    const { id } = await start();
    const digest = digestOf("acknowledged");
    await registry.push.complete(repository, id, pusher, { digest, body: bodyOf("acknowledged") });
    await registry.push.complete(repository, id, pusher, { digest, body: bodyOf("acknowledged") });
    await expect(
      registry.push.complete(repository, id, pusher, { digest: digestOf("never"), body: bodyOf("never") }),
    ).rejects.toMatchObject(gone);
    await expect(registry.push.complete("team/elsewhere", id, pusher, { digest, body: bodyOf() })).rejects.toMatchObject(gone);
  });

  test("a commit whose transaction failed is tried again with the same session", async () => {
    const { id } = await start();
    await registry.push.append(repository, id, pusher, { body: bodyOf("retry me") });
    const digest = digestOf("retry me");
    await registry.rows("ALTER TABLE repository_blobs ADD CONSTRAINT broken CHECK (digest <> '" + digest + "')");
    await expect(registry.push.complete(repository, id, pusher, { digest, body: bodyOf() })).rejects.toMatchObject({ code: "23514" });
    await registry.rows("ALTER TABLE repository_blobs DROP CONSTRAINT broken");
    await registry.push.complete(repository, id, pusher, { digest, body: bodyOf() });
    expect((await readBlob(registry.pull, repository, digest)).toString()).toBe("retry me");
  });
});

describe("algorithms", () => {
  test("sha512 from the start, and by the digest of the PUT alone", async () => {
    const digest = digestOf("long hash", "sha512");
    const declared = await registry.push.startUpload(repository, pusher, { algorithm: "sha512" });
    await registry.push.append(repository, declared.id, pusher, { body: bodyOf("long ") });
    await registry.push.complete(repository, declared.id, pusher, { digest, body: bodyOf("hash") });
    expect((await readBlob(registry.pull, repository, digest)).toString()).toBe("long hash");

    const other = digestOf("changed mind", "sha512");
    const { id } = await start();
    await registry.push.append(repository, id, pusher, { body: bodyOf("changed ") });
    await registry.push.complete(repository, id, pusher, { digest: other, body: bodyOf("mind") });
    expect((await readBlob(registry.pull, repository, other)).toString()).toBe("changed mind");
  });

  test("the empty blob has no bytes and is a blob", async () => {
    for (const algorithm of ["sha256", "sha512"] as const) {
      const digest = digestOf("", algorithm);
      const { id } = await start();
      await registry.push.complete(repository, id, pusher, { digest, length: 0, body: bodyOf() });
      expect((await readBlob(registry.pull, repository, digest)).byteLength).toBe(0);
    }
  });
});

test("statements of a push do not grow with its size", async () => {
  registry.statements();
  const { id } = await start();
  await registry.push.append(repository, id, pusher, { body: bodyOf(randomBytes(10)) });
  const small = registry.statements();
  const large = await start();
  await registry.push.append(repository, large.id, pusher, { body: bodyOf(...Array.from({ length: 500 }, () => randomBytes(10_000))) });
  expect(registry.statements()).toEqual(small);
  expect(small.filter((name) => name !== "")).toEqual([
    "upload-insert",
    "upload-find",
    "upload-find",
    "upload-take",
    "upload-announce",
    "upload-advance",
  ]);
});
