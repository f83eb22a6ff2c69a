// Uploads that outlive their welcome or their disk; each has a registry of its own.

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { bodyOf, openOwnRegistry, pushBlob, pusher, type OwnRegistry } from "../../../../test/support/own-registry.ts";
import { digestOf } from "../../../domain/digest.ts";
import { signOfLifeEvery } from "../upkeep/heartbeat.ts";
import { Push } from "./push.ts";
import type { Body } from "./push-service.ts";

const repository = "team/app";
const gone = { code: "BLOB_UPLOAD_UNKNOWN" };

const life = "SELECT touched_at > now() - interval '1 minute' AS fresh FROM objects";

/** A body that says nothing more after its first piece until what happens here is over. */
async function* silentAfter(piece: string, meanwhile: () => Promise<void>): AsyncGenerator<Uint8Array> {
  yield Buffer.from(piece);
  await meanwhile();
}

describe.each([
  ["a session", (quick: OwnRegistry, body: Body) => inSession(quick, body)],
  ["one request", (quick: OwnRegistry, body: Body) => quick.push.uploadWhole(repository, pusher, { digest: digestOf("a"), body })],
])("in %s", (_, upload) => {
  let quick: OwnRegistry;
  beforeEach(async () => {
    quick = await openOwnRegistry({ touchEvery: 10 });
  });
  afterEach(() => quick.close());

  test("a body gives signs of life also while it is silent", async () => {
    const body = silentAfter("a", async () => {
      await expect.poll(() => quick.rows(life)).toEqual([{ fresh: true }]);
      await quick.rows("UPDATE objects SET touched_at = '2000-01-01'");
      await expect.poll(() => quick.rows(life)).toEqual([{ fresh: true }]);
    });
    await upload(quick, body);
  });

  test("a silent body ends when its bytes were given up", async () => {
    let end: () => void = () => undefined;
    const over = new Promise<void>((resolve) => (end = resolve));
    const body = silentAfter("a", async () => {
      await expect.poll(() => quick.rows(life)).toEqual([{ fresh: true }]);
      await quick.rows("UPDATE objects SET state = 'doomed', doomed_at = now()");
      await over;
    });
    await expect(upload(quick, body)).rejects.toMatchObject(gone);
    end();
  });
});

test("a session whose first byte is long in coming does not expire, and one that pauses is not silent", async () => {
  const quick = await openOwnRegistry({ touchEvery: 10 });
  try {
    const { id } = await quick.push.startUpload(repository, pusher, { algorithm: "sha256" });
    const body = (async function* () {
      await quick.rows("UPDATE uploads SET expires_at = now() + interval '1 second'");
      await expect
        .poll(() => quick.rows("SELECT expires_at > now() + interval '1 minute' AS extended FROM uploads"))
        .toEqual([{ extended: true }]);
      yield Buffer.from("a");
    })();
    await quick.push.append(repository, id, pusher, { body });
    await quick.rows("UPDATE objects SET touched_at = '2000-01-01'");
    await new Push({ database: quick.database, store: quick.store, expireAfter: 3_600_000 }).append(repository, id, pusher, {
      body: silentAfter("b", async () => {
        expect(await quick.rows(life)).toEqual([{ fresh: true }]);
      }),
    });
  } finally {
    await quick.close();
  }
});

test.each([
  [[86_400_000, 86_400_000], 60_000],
  [[86_400_000, 30_000], 10_000],
  [[6_000, 86_400_000], 2_000],
  [[0], 100],
])("who is given up after %j is heard every %i milliseconds", (limits, every) => {
  expect(signOfLifeEvery(...limits)).toBe(every);
});

async function inSession(quick: OwnRegistry, body: Body): Promise<void> {
  const { id } = await quick.push.startUpload(repository, pusher, { algorithm: "sha256" });
  await quick.push.append(repository, id, pusher, { body });
}

test("a full disk is INSUFFICIENT_STORAGE, in every way to push, and nothing is left behind", async () => {
  // Clients that try again begin another session each time.
  const full = await openOwnRegistry({ lowWaterBytes: Number.MAX_SAFE_INTEGER, sessionLimits: { perIdentity: 1, all: 1 } });
  try {
    const refused = { code: "INSUFFICIENT_STORAGE" };
    const start = async () => (await full.push.startUpload(repository, pusher, { algorithm: "sha256" })).id;
    await expect(full.push.append(repository, await start(), pusher, { body: bodyOf("x") })).rejects.toMatchObject(refused);
    const last = { digest: digestOf("x"), body: bodyOf("x") };
    await expect(full.push.complete(repository, await start(), pusher, last)).rejects.toMatchObject(refused);
    await expect(pushBlob(full.push, repository)).rejects.toMatchObject(refused);
    expect(await full.rows("SELECT FROM uploads")).toEqual([]);
    expect(await full.rows("SELECT FROM blobs")).toEqual([]);
    expect(await full.rows("SELECT FROM repositories")).toEqual([]);
  } finally {
    await full.close();
  }
});

test("open sessions are bounded, for one identity and for all; ended and expired ones do not count", async () => {
  const quick = await openOwnRegistry({ sessionLimits: { perIdentity: 2, all: 3 } });
  try {
    const start = (identity = pusher.identity) => quick.push.startUpload(repository, { ...pusher, identity }, { algorithm: "sha256" });
    const mine = { code: "TOOMANYREQUESTS", retryAfter: 60, message: expect.stringMatching(/^You have 2 uploads open/) as string };
    const everyones = { code: "TOOMANYREQUESTS", retryAfter: 60, message: expect.stringMatching(/^There are 3 uploads open/) as string };
    const first = await start();
    const second = await start();
    await expect(start()).rejects.toMatchObject(mine);
    await start("user:eve");
    await expect(start("user:eve")).rejects.toMatchObject(everyones);
    expect(await quick.rows("SELECT count(*) AS count FROM uploads")).toEqual([{ count: 3 }]);
    await quick.push.cancel(repository, first.id, pusher);
    await start();
    await expect(start()).rejects.toMatchObject(mine);
    await quick.rows("UPDATE uploads SET expires_at = now() WHERE id = $1", [second.id]);
    await start();
    // Nobody who may not have one learns how many there are.
    await quick.rows("INSERT INTO prefixes VALUES ('hub', 'proxied', 'default/hub')");
    await expect(quick.push.startUpload("hub/x", pusher, { algorithm: "sha256" })).rejects.toMatchObject({ code: "UNSUPPORTED" });
  } finally {
    await quick.close();
  }
});
