// Two transactions at the worst moment: one has done its work and not committed, the other has read what was before and waits.

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import {
  describe as described,
  imageOf,
  indexOf,
  longTimes,
  openOwnRegistry,
  pushBlob,
  pusher,
  pushImage,
  pushManifest,
  readBlob,
  reader,
  unprotected,
  type OwnRegistry,
} from "../../../test/support/own-registry.ts";
import { digestOf, type Digest } from "../../domain/digest.ts";
import { mediaTypes } from "../../domain/media-types.ts";
import { parseManifest } from "../../domain/manifest.ts";
import type { Queryable } from "../metadata/database.ts";
import { reviewQueue } from "../metadata/gc-review.ts";
import { lockManifests } from "../metadata/manifests.ts";
import { storeProxiedManifest } from "../metadata/proxy-manifests.ts";
import { claimPrefix } from "../metadata/upstream-prefixes.ts";
import { deleteManifests } from "./deletion/delete-manifests.ts";
import { ensureOwnRepository } from "./push/own-repository.ts";
import { storeManifest } from "./push/store-manifest.ts";

let registry: OwnRegistry;
beforeAll(async () => {
  registry = await openOwnRegistry();
  await registry.setTimes(longTimes);
});
afterAll(() => registry.close());

let number = 0;
const newName = () => `worst/app-${++number}`;

/** Does `first` in a transaction, starts `other`, and commits once that waits for a lock. Resolves with what became of it. */
async function meanwhile<T>(first: (transaction: Queryable) => Promise<unknown>, other: () => Promise<T>): Promise<T | Error> {
  let outcome: Promise<T | Error> | undefined;
  await registry.database.transaction(async (transaction) => {
    await first(transaction);
    const ended = { yet: false };
    outcome = other()
      .catch((error: Error) => error)
      .finally(() => (ended.yet = true));
    let waiting = 0;
    while (waiting === 0 && !ended.yet) {
      [{ waiting }] = (await registry.rows(
        "SELECT count(*) AS waiting FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
      )) as [{ waiting: number }];
    }
    expect(waiting, "the other one met the first").toBe(1);
  });
  return outcome!;
}

/** The lease of the blob is over, and its review is due. */
async function expire(digest: Digest): Promise<void> {
  await registry.rows("UPDATE repository_blobs SET keep_until = now() - interval '1 second' WHERE digest = $1", [digest]);
  await registry.rows("UPDATE gc_queue SET review_after = now() - interval '1 second' WHERE digest = $1", [digest]);
}

/** G1 takes what is due: one blob that nothing holds. */
async function collect(transaction: Queryable): Promise<void> {
  expect(await reviewQueue({ transaction: (work) => work(transaction) })).toMatchObject({ links: 1, blobs: 1 });
}

/** M1 of a manifest that names what is here. */
const storing = (repository: string, bytes: Buffer) => async (transaction: Queryable) => {
  const { id: repositoryId } = await ensureOwnRepository(transaction, repository);
  const { mediaType } = JSON.parse(bytes.toString()) as { mediaType: string };
  await storeManifest(transaction, { repositoryId, digest: digestOf(bytes), mediaType, bytes, tags: [], by: "ci", held: true });
};

/** D1 of a manifest, with its tags. */
const deleting = (repository: string, digest: Digest) => async (transaction: Queryable) => {
  const { id: repositoryId } = await ensureOwnRepository(transaction, repository);
  const why = { by: "ada", reason: "client", onHeld: "Refuse" } as const;
  expect(await deleteManifests(transaction, { repositoryId, digests: [digest], ...why })).toMatchObject({ deleted: [{ digest }] });
};

describe("the collector has deleted and not committed", () => {
  test("HEAD by a pusher (U3) waits and says that the blob is gone", async () => {
    const repository = newName();
    const digest = await pushBlob(registry.push, repository);
    await expire(digest);
    const answer = await meanwhile(collect, () => registry.pull.blob(repository, digest, pusher, { head: true }));
    expect(answer).toMatchObject({ code: "BLOB_UNKNOWN" });
  });

  test("a manifest (M1) that saw the blob is refused and names it", async () => {
    const repository = newName();
    const digest = await pushBlob(registry.push, repository, Buffer.from("seen by M1"));
    await expire(digest);
    const answer = await meanwhile(collect, () =>
      pushManifest(registry.push, repository, imageOf(described("c/c", Buffer.from("seen by M1")), [])),
    );
    expect(answer).toMatchObject({ code: "MANIFEST_BLOB_UNKNOWN", detail: { digests: [digest] } });
  });

  test("a manifest whose layer need not be here is stored and holds nothing", async () => {
    const repository = newName();
    await pushBlob(registry.push, repository, Buffer.from("{}"));
    const digest = await pushBlob(registry.push, repository, Buffer.from("foreign but here"));
    const layer = described("application/vnd.oci.image.layer.nondistributable.v1.tar", Buffer.from("foreign but here"));
    const manifest = imageOf(described("c/c", Buffer.from("{}")), [layer]);
    await expire(digest);
    expect(await meanwhile(collect, () => pushManifest(registry.push, repository, manifest))).toEqual({
      digest: digestOf(manifest),
    });
    expect(await registry.rows("SELECT held FROM manifest_blobs WHERE digest = $1", [digest])).toEqual([{ held: null }]);
  });

  test("a mount is refused, the client uploads", async () => {
    const source = newName();
    const digest = await pushBlob(registry.push, source);
    const target = newName();
    await expire(digest);
    const answer = await meanwhile(collect, () => registry.push.mount(target, pusher, { digest, from: source, readable: () => true }));
    expect(answer).toBeUndefined();
    await expect(registry.pull.tags(target, reader, { limit: 1 })).rejects.toMatchObject({ code: "NAME_UNKNOWN" });
  });

  test("a push of the same bytes (U2) brings its own", async () => {
    const repository = newName();
    const bytes = Buffer.from("pushed while collected");
    const digest = await pushBlob(registry.push, repository, bytes);
    await expire(digest);
    expect(await meanwhile(collect, () => pushBlob(registry.push, repository, bytes))).toBe(digest);
    expect(await readBlob(registry.pull, repository, digest)).toEqual(bytes);
  });
});

describe("a writer has not committed", () => {
  test("the collector takes nothing that it holds, and waits for nobody", async () => {
    const repository = newName();
    const bytes = Buffer.from("being named");
    const digest = await pushBlob(registry.push, repository, bytes);
    await expire(digest);
    await registry.database.transaction(async (transaction) => {
      await storing(repository, imageOf(described("c/c", bytes), []))(transaction);
      expect(await reviewQueue(registry.database)).toMatchObject({ links: 0, blobs: 0 });
    });
    expect(await readBlob(registry.pull, repository, digest)).toEqual(bytes);
  });

  test("a delete of a child waits for its index, and is refused", async () => {
    const repository = newName();
    const child = await pushImage(registry.push, repository);
    const index = indexOf([child]);
    const answer = await meanwhile(storing(repository, index), () =>
      registry.push.deleteManifest(repository, { digest: child.digest }, pusher, unprotected),
    );
    expect(answer).toMatchObject({ code: "UNSUPPORTED", detail: { holder: `the index ${digestOf(index)}` } });
  });

  test("a delete of a subject takes the referrer along that was pushed meanwhile", async () => {
    const repository = newName();
    const subject = await pushImage(registry.push, repository);
    const referrer = indexOf([], { subject: described(mediaTypes.ociManifest, subject.bytes) });
    const deleted = await meanwhile(storing(repository, referrer), () =>
      registry.push.deleteManifest(repository, { digest: subject.digest }, pusher, unprotected),
    );
    expect(deleted).toBeUndefined();
    expect((await registry.pull.referrers(repository, subject.digest, reader, {})).referrers).toEqual([]);
  });
});

describe("a delete has not committed", () => {
  test("an index that saw the child is stored without holding it", async () => {
    const repository = newName();
    const child = await pushImage(registry.push, repository);
    const index = indexOf([child]);
    const answer = await meanwhile(deleting(repository, child.digest), () => pushManifest(registry.push, repository, index));
    expect(answer).toEqual({ digest: digestOf(index), subject: undefined });
    expect(await registry.rows("SELECT held FROM manifest_children WHERE child = $1", [child.digest])).toEqual([{ held: null }]);
  });

  test("HEAD of the manifest by a pusher (U3) says that it is gone", async () => {
    const repository = newName();
    const { digest } = await pushManifest(registry.push, repository, indexOf([], { annotations: { a: "U3" } }), { tags: ["v1"] });
    await registry.rows("UPDATE manifests SET keep_until = now() WHERE digest = $1", [digest]);
    const answer = await meanwhile(deleting(repository, digest), () =>
      registry.pull.manifest(repository, { tag: "v1" }, pusher, { head: true }),
    );
    expect(answer).toMatchObject({ code: "MANIFEST_UNKNOWN" });
  });

  test("a push of the same manifest stores it again", async () => {
    const repository = newName();
    const bytes = indexOf([], { annotations: { a: "again" } });
    const { digest } = await pushManifest(registry.push, repository, bytes);
    expect(await meanwhile(deleting(repository, digest), () => pushManifest(registry.push, repository, bytes))).toMatchObject({ digest });
    expect((await registry.pull.manifest(repository, { digest }, reader, { head: false })).mediaType).toBe(mediaTypes.ociIndex);
  });
});

test("two prefixes claimed at once: an Upstream's publish wins, the push is refused and leaves nothing", async () => {
  const answer = await meanwhile(
    (transaction) => claimPrefix(transaction, "quay", "default/quay"),
    () => pushBlob(registry.push, "quay/app"),
  );
  expect(answer).toMatchObject({ code: "UNSUPPORTED" });
  expect(await registry.rows("SELECT FROM repositories WHERE name = 'quay/app'")).toEqual([]);
});

test("a publish gives an empty repository to an Upstream: the push that had seen it is refused", async () => {
  const digest = await pushBlob(registry.push, "gcr/app");
  await registry.push.deleteBlob("gcr/app", digest, pusher);
  const claim = async (transaction: Queryable) => expect(await claimPrefix(transaction, "gcr", "default/gcr")).toEqual([]);
  const answer = await meanwhile(claim, () => pushBlob(registry.push, "gcr/app"));
  expect(answer).toMatchObject({ code: "UNSUPPORTED" });
});

test("a cached tag that moves waits for whoever has locked the manifest that it leaves", async () => {
  const repository = { name: "hub/app", upstream: "default/hub" };
  const store = (bytes: Buffer) =>
    storeProxiedManifest(
      registry.database,
      repository,
      { digest: digestOf(bytes), bytes, manifest: parseManifest(bytes, mediaTypes.ociIndex) },
      { tag: "latest", by: "upstream" },
    );
  const [old, young] = [indexOf([], { annotations: { a: "old" } }), indexOf([], { annotations: { a: "young" } })];
  const id = await store(old);
  await meanwhile(
    (transaction) => lockManifests(transaction, id, [digestOf(old)]),
    () => store(young),
  );
  expect(await registry.rows("SELECT digest FROM tags WHERE name = 'latest' AND digest = $1", [digestOf(young)])).toHaveLength(1);
});

test("two who see a new cached tag at once write its history once", async () => {
  const bytes = indexOf([], { annotations: { a: "at once" } });
  const fetched = { digest: digestOf(bytes), bytes, manifest: parseManifest(bytes, mediaTypes.ociIndex) };
  const repository = { name: "hub/once", upstream: "default/hub" };
  const store = () => storeProxiedManifest(registry.database, repository, fetched, { tag: "once", by: "upstream" });
  await Promise.all([store(), store(), store(), store()]);
  expect(await registry.rows("SELECT previous FROM tag_events WHERE name = 'once'")).toEqual([{ previous: null }]);
});

describe("an index and its child pushed at once: the one holds the other, whoever was first", () => {
  const child = indexOf([], { annotations: { a: "child" } });
  const index = indexOf([described(mediaTypes.ociIndex, child)], { annotations: { a: "index" } });

  test.each([
    ["the index", index, child],
    ["the child", child, index],
  ])("%s first", async (_, first, second) => {
    const repository = newName();
    await pushManifest(registry.push, repository, indexOf([]));
    expect(await meanwhile(storing(repository, first), () => pushManifest(registry.push, repository, second))).toMatchObject({
      digest: digestOf(second),
    });
    expect(
      await registry.rows("SELECT held FROM manifest_children c JOIN repositories r ON r.id = c.repository WHERE r.name = $1", [
        repository,
      ]),
    ).toEqual([{ held: digestOf(child) }]);
  });

  test("many of both, over and over", async () => {
    const repository = newName();
    await Promise.all(
      Array.from({ length: 20 }, async (_, round) => {
        const part = indexOf([], { annotations: { part: String(round) } });
        const whole = indexOf([described(mediaTypes.ociIndex, part)], { annotations: { whole: String(round) } });
        await Promise.all([pushManifest(registry.push, repository, whole), pushManifest(registry.push, repository, part)]);
      }),
    );
    expect(
      await registry.rows(
        "SELECT count(*) AS named, count(held) AS held FROM manifest_children c JOIN repositories r ON r.id = c.repository WHERE r.name = $1",
        [repository],
      ),
    ).toEqual([{ named: 20, held: 20 }]);
  });
});
