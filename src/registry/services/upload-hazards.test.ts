// Uploads that outlive their welcome or their disk; each has a registry of its own.

import { expect, test } from "vitest";

import { bodyOf, openOwnRegistry, pushBlob, pusher } from "../../../test/support/own-registry.ts";
import { digestOf } from "../../domain/digest.ts";

const repository = "team/app";
const gone = { code: "BLOB_UPLOAD_UNKNOWN" };

test("a long body gives signs of life, and ends when its bytes were given up", async () => {
  const quick = await openOwnRegistry({ touchEvery: 0 });
  try {
    const { id } = await quick.push.startUpload(repository, pusher, { algorithm: "sha256" });
    const body = (async function* () {
      yield Buffer.from("a");
      await quick.rows("UPDATE objects SET touched_at = '2000-01-01'");
      yield Buffer.from("b");
      yield Buffer.from("c");
      expect(await quick.rows("SELECT touched_at > now() - interval '1 minute' AS fresh FROM objects")).toEqual([{ fresh: true }]);
      await quick.rows("UPDATE objects SET state = 'doomed', doomed_at = now()");
      yield Buffer.from("d");
      yield Buffer.from("e");
    })();
    await expect(quick.push.append(repository, id, pusher, { body })).rejects.toMatchObject(gone);
  } finally {
    await quick.close();
  }
});

test("a full disk is INSUFFICIENT_STORAGE, in every way to push, and nothing is left behind", async () => {
  const full = await openOwnRegistry({ lowWaterBytes: Number.MAX_SAFE_INTEGER });
  try {
    const refused = { code: "INSUFFICIENT_STORAGE" };
    const { id } = await full.push.startUpload(repository, pusher, { algorithm: "sha256" });
    await expect(full.push.append(repository, id, pusher, { body: bodyOf("x") })).rejects.toMatchObject(refused);
    await expect(full.push.complete(repository, id, pusher, { digest: digestOf("x"), body: bodyOf("x") })).rejects.toMatchObject(refused);
    await expect(pushBlob(full.push, repository)).rejects.toMatchObject(refused);
    expect(await full.push.uploadStatus(repository, id)).toEqual({ id, offset: 0 });
    expect(await full.rows("SELECT FROM blobs")).toEqual([]);
    expect(await full.rows("SELECT FROM repositories")).toEqual([]);
  } finally {
    await full.close();
  }
});
