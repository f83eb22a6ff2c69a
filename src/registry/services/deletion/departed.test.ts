// A subject with more referrers than one transaction takes: it is gone at once, they follow in batches, whoever dies meanwhile.

import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";

import { eventually } from "../../../../test/support/eventually.ts";
import {
  deletionContext,
  describe as described,
  indexOf,
  longTimes,
  openOwnRegistry,
  pusher,
  pushImage,
  pushManifest,
  reader,
  unprotected,
  type OwnRegistry,
} from "../../../../test/support/own-registry.ts";
import type { Digest } from "../../../domain/digest.ts";
import { mediaTypes } from "../../../domain/media-types.ts";
import { observed } from "../../../failpoints/armed.ts";
import type { Failpoint } from "../../../failpoints/names.ts";
import { endGcPauses, pauseGc } from "../../metadata/gc-pauses.ts";
import type { Collected } from "./collect.ts";
import { followersAtOnce } from "../../metadata/manifest-deletion.ts";
import { deleteImage } from "./delete-image.ts";
import { restore } from "./restore.ts";

let registry: OwnRegistry;
let repository = "";
let subject: Digest;
let number = 0;
beforeAll(async () => {
  registry = await openOwnRegistry();
  await registry.setTimes(longTimes);
});
afterAll(() => registry.close());
beforeEach(async () => {
  repository = `team/app-${++number}`;
  subject = (await pushImage(registry.push, repository, ["v1"])).digest;
});

/** Indexes of nothing, with a subject, as if each had been pushed a minute ago. In digest order. */
async function referrers(count: number, of: Digest): Promise<Digest[]> {
  const rows = await registry.rows<{ digest: Digest }>(
    `WITH made AS (
       SELECT convert_to(json_build_object('schemaVersion', 2, 'mediaType', $4::text, 'manifests', '[]'::json, 'annotations', json_build_object('n', n::text),
         'subject', json_build_object('mediaType', $4::text, 'digest', $2::text, 'size', 1))::text, 'UTF8') AS bytes
       FROM generate_series(1, $1::int) n)
     INSERT INTO manifests (repository, digest, media_type, bytes, subject, pushed_at, keep_until)
     SELECT r.id, 'sha256:' || encode(sha256(bytes), 'hex'), $4, bytes, $2, now() - interval '1 minute', now() FROM made, repositories r WHERE r.name = $3
     RETURNING digest`,
    [count, of, repository, mediaTypes.ociIndex],
  );
  return rows.map(({ digest }) => digest).sort();
}
/** What the repository still has. */
const here = async () =>
  (
    await registry.rows<{ digest: Digest }>(
      "SELECT m.digest FROM manifests m JOIN repositories r ON r.id = m.repository WHERE r.name = $1 ORDER BY 1",
      [repository],
    )
  ).map(({ digest }) => digest);
/** How many manifests each transaction put into the trash. */
const trashed = async () =>
  (
    await registry.rows<{ count: number }>(
      "SELECT count(*) AS count FROM trash t JOIN repositories r ON r.id = t.repository WHERE r.name = $1 GROUP BY t.xmin::text ORDER BY min(t.id)",
      [repository],
    )
  ).map(({ count }) => count);
const noted = () => registry.rows("SELECT digest FROM departed");
const bytesOf = async (digest: Digest) => {
  const [row] = await registry.rows<{ bytes: Buffer }>("SELECT bytes FROM manifests WHERE digest = $1", [digest]);
  return row!.bytes;
};
const deleteIt = () => registry.push.deleteManifest(repository, { digest: subject }, pusher, unprotected);
const bringBack = () => restore(registry.database, { repository, digest: subject }, "admin");

test("625 referrers, and 300 of one of them, follow in batches; what has a tag of its own stays", async () => {
  const direct = await referrers(625, subject);
  const signed = direct[425]!;
  await referrers(300, signed);
  const hex = subject.slice("sha256:".length);
  const signature = await pushImage(registry.push, repository, [`sha256-${hex}.sig`]);
  const report = await pushImage(registry.push, repository, ["report"], {
    subject: { mediaType: mediaTypes.ociManifest, digest: subject, size: 1 },
  });
  registry.statements();
  await deleteIt();
  // More than 900, if any were for one of them.
  expect(registry.statements().length).toBeLessThan(200);
  expect(await here()).toEqual([report.digest]);
  const batches = await trashed();
  expect(batches.reduce((sum, count) => sum + count, 0)).toBe(625 + 300 + 2);
  expect(batches[0]).toBe(1);
  expect(Math.max(...batches)).toBeLessThanOrEqual(followersAtOnce);
  expect(await noted()).toEqual([]);
  expect((await registry.pull.referrers(repository, subject, reader, {})).referrers.map(({ digest }) => digest)).toEqual([report.digest]);
  await expect(registry.pull.manifest(repository, { digest: signature.digest }, reader, { head: true })).rejects.toMatchObject({
    code: "MANIFEST_UNKNOWN",
  });
});

test("a process that dies between two batches leaves the rest to the collector; protected tags hold for that too", async () => {
  await referrers(625, subject);
  const hex = subject.slice("sha256:".length);
  const [kept] = [
    await pushImage(registry.push, repository, [`sha256-${hex}.keep`]),
    await pushImage(registry.push, repository, [`sha256-${hex}.sig`]),
  ];
  const isKept = (tag: string) => tag.endsWith(".keep");
  const dead = observed(
    (name) => {
      if (name === "D1.followed") throw new Error("the process is gone");
    },
    () => registry.push.deleteManifest(repository, { digest: subject }, pusher, { isProtected: isKept }),
  );
  // The client is told what is so: the subject is gone.
  await dead;
  const left = await here();
  // Those that stay were looked at or not: batches are in digest order.
  expect([627 - followersAtOnce, 628 - followersAtOnce]).toContain(left.length);
  const isProtected = (name: string, tag: string) => name === repository && isKept(tag);
  const { followed, failedSteps } = await registry.collector(longTimes, undefined, { isProtected }).runOnce();
  expect({ followed, failedSteps }).toEqual({ followed: left.length - 1, failedSteps: 0 });
  expect(await here()).toEqual([kept.digest]);
  expect(await noted()).toEqual([]);
});

test("an administrator's delete in the same repository takes no protected tag that a client's delete leaves", async () => {
  await referrers(1_100, subject);
  const kept = await pushImage(registry.push, repository, [`sha256-${subject.slice("sha256:".length)}.keep`]);
  const other = (await pushImage(registry.push, repository, ["v2"])).digest;
  await referrers(1_100, other);
  const isKeep = (_: string, tag: string) => tag.endsWith(".keep");
  await observed(
    async (name) => {
      if (name === "D1.committed")
        await deleteImage(deletionContext(registry, { isProtected: isKeep }), { repository, digest: other }, "admin");
    },
    () => registry.push.deleteManifest(repository, { digest: subject }, pusher, { isProtected: (tag) => isKeep(repository, tag) }),
  );
  expect(await here()).toEqual([kept.digest]);
});

test("what is pushed meanwhile stays, the subject or a referrer; what was deleted with the subject does not come back with it", async () => {
  const before = await referrers(375, subject);
  const last = before.at(-1)!;
  const [subjectBytes, lastBytes] = [await bytesOf(subject), await bytesOf(last)];
  let pushed = false;
  await observed(async (name) => {
    if (name !== "D1.followed" || pushed) return;
    pushed = true;
    await pushManifest(registry.push, repository, subjectBytes, { tags: ["v1"] });
    await pushManifest(registry.push, repository, lastBytes);
  }, deleteIt);
  expect(await here()).toEqual([subject, last].sort());
  expect(await noted()).toEqual([]);
});

test("a restore brings them back with their subject, after, before and between the batches", async () => {
  const all = [...(await referrers(followersAtOnce + 5, subject)), subject].sort();
  await deleteIt();
  expect(await here()).toEqual([]);
  await bringBack();
  expect(await here()).toEqual(all);

  // `restored` counts as pushed now, so what is noted next is later.
  let restored = 0;
  await observed(async (name) => {
    if (name !== "D1.committed") return;
    restored = (await bringBack()).restored.length;
  }, deleteIt);
  expect(restored).toBe(1);
  expect(await here()).toEqual(all);

  await observed(async (name) => {
    if (name !== "D1.followed" || restored > 1) return;
    restored = (await bringBack()).restored.length;
  }, deleteIt);
  expect(restored).toBe(followersAtOnce + 1);
  expect(await here()).toEqual(all);
  expect(await noted()).toEqual([]);
}, 60_000);

const purge = () => deleteImage(deletionContext(registry), { repository, digest: subject, purge: true }, "admin");

test("a purge takes them all, and a crash of it leaves nothing to restore", async () => {
  await referrers(375, subject);
  const dead = observed((name) => {
    if (name === "D1.followed") throw new Error("the process is gone");
  }, purge);
  await expect(dead).rejects.toThrow("the process is gone");
  expect((await here()).length).toBe(375 - followersAtOnce);
  await expect(bringBack()).rejects.toMatchObject({ code: "NOT_FOUND" });
  await registry.collector(longTimes).runOnce();
  expect(await here()).toEqual([]);
  expect(await trashed()).toEqual([]);

  subject = (await pushImage(registry.push, repository, ["v2"])).digest;
  await referrers(375, subject);
  const { deleted, kept, swept } = await purge();
  expect({ deleted: deleted.length, kept, swept }).toEqual({ deleted: 376, kept: [], swept: 2 });
});

/** A purge beside a collector that has locked its second batch, from the moment that the first one is committed. */
function purgeBesideCollector() {
  const [locked, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const hold = async (name: Failpoint) => {
    if (name !== "D1.locked") return;
    locked.resolve();
    await released.promise;
  };
  const collecting = Promise.withResolvers<Collected>();
  let begun = false;
  const purging = observed(async (name) => {
    if (name !== "D1.followed" || begun) return;
    begun = true;
    collecting.resolve(observed(hold, () => registry.collector(longTimes).runOnce()));
    await locked.promise;
  }, purge);
  return { purging, collecting: collecting.promise, release: () => released.resolve() };
}
/** Of every blob that is here, in the store. */
const keysHere = async () => {
  const keys: string[] = [];
  for await (const { key } of registry.store.list()) keys.push(key);
  return keys.sort();
};

test("a purge waits for a collector that took a part of it, whose bytes go as the purge's do, whatever the brake says", async () => {
  const before = await keysHere();
  const first = subject;
  subject = (await pushImage(registry.push, repository, ["v2"])).digest;
  await referrers(625, subject);
  // One of them, with layers, is in the last batch.
  for (let last = ""; last < "sha256:d";)
    last = (await pushImage(registry.push, repository, [], { subject: { mediaType: mediaTypes.ociManifest, digest: subject, size: 1 } }))
      .digest;
  await pauseGc(registry.database, "brake", "much");
  const { purging, collecting, release } = purgeBesideCollector();
  await eventually(() => expect(registry.statements()).toContain("departed-of-purge")).finally(release);
  const { waiting, kept } = await purging;
  expect({ waiting, kept, left: await here(), bytes: await keysHere() }).toEqual({
    waiting: 0,
    kept: [],
    left: [first],
    bytes: before,
  });
  expect((await collecting).failedSteps).toBe(0);
  await endGcPauses(registry.database, ["brake"]);
});

test("a purge whose followers another process does not let go of says so", async () => {
  await referrers(625, subject);
  const { purging, collecting, release } = purgeBesideCollector();
  const { deleted, waiting } = await purging.finally(release);
  expect({ deleted: deleted.length, waiting }).toEqual({ deleted: followersAtOnce + 1, waiting: followersAtOnce });
  expect((await collecting).followed).toBe(625 - followersAtOnce);
  expect(await here()).toEqual([]);
});

test("what a client deletes beside a purge takes nothing of it: the purge counts its own bytes", async () => {
  await referrers(375, subject);
  const other = (await pushImage(registry.push, repository, ["v2"])).digest;
  await referrers(followersAtOnce + 5, other);
  let begun = false;
  let left = 0;
  const { swept } = await observed(async (name) => {
    if (name !== "D1.followed" || begun) return;
    begun = true;
    await registry.push.deleteManifest(repository, { digest: other }, pusher, unprotected);
    left = (await here()).length;
  }, purge);
  expect({ left, swept }).toEqual({ left: 375 - followersAtOnce, swept: 2 });
  expect(await here()).toEqual([]);
});

test("an index that refers to a manifest and names it goes along; as one of very many it holds it, and is named", async () => {
  const around = async (digest: Digest) => {
    const named = described(mediaTypes.ociManifest, await bytesOf(digest));
    return (await pushManifest(registry.push, repository, indexOf([named], { subject: named }))).digest;
  };
  await around(subject);
  await deleteIt();
  expect(await here()).toEqual([]);

  subject = (await pushImage(registry.push, repository, ["v2"])).digest;
  const index = await around(subject);
  const others = await referrers(followersAtOnce, subject);
  await expect(deleteIt()).rejects.toMatchObject({ code: "UNSUPPORTED", message: expect.stringContaining(index) });
  expect(await here()).toEqual([subject, index, ...others].sort());
  await registry.push.deleteManifest(repository, { digest: index }, pusher, unprotected);
  await deleteIt();
  expect(await here()).toEqual([]);
});
