import { afterAll, beforeAll, describe, expect, test } from "vitest";

import {
  describe as described,
  indexOf,
  openOwnRegistry,
  pushBlob,
  pusher,
  pushImage,
  pushManifest,
  reader,
  unprotected,
  type OwnRegistry,
} from "../../../../test/support/own-registry.ts";
import { digestOf, type Digest } from "../../../domain/digest.ts";
import { mediaTypes } from "../../../domain/media-types.ts";

let registry: OwnRegistry;
beforeAll(async () => {
  registry = await openOwnRegistry();
});
afterAll(() => registry.close());

let number = 0;
const newName = () => `team/app-${++number}`;
const manifestOf = (repository: string, reference: { tag: string } | { digest: Digest }) =>
  registry.pull.manifest(repository, reference, reader, { head: false });
const blobOf = (repository: string, digest: Digest) => registry.pull.blob(repository, digest, reader, { head: true });
const referrersOf = async (repository: string, digest: Digest, artifactType?: string) =>
  (await registry.pull.referrers(repository, digest, reader, { artifactType })).referrers;
const deleteIt = (repository: string, reference: { tag: string } | { digest: Digest }) =>
  registry.push.deleteManifest(repository, reference, pusher, unprotected);

/** Elements of long arrays that are walked through while `work` runs. */
async function walkedThrough(work: () => Promise<unknown>): Promise<number> {
  const { includes, filter } = Array.prototype;
  let count = 0;
  const counting = <T extends (this: unknown[], ...given: never[]) => unknown>(real: T) =>
    function (this: unknown[], ...given: Parameters<T>): unknown {
      if (this.length > 100) count += this.length;
      return Reflect.apply(real, this, given);
    };
  Object.assign(Array.prototype, { includes: counting(includes), filter: counting(filter) });
  try {
    await work();
  } finally {
    Object.assign(Array.prototype, { includes, filter });
  }
  return count;
}

describe("deleting", () => {
  test("a subject with many signatures costs what they are, not their square", async () => {
    const many = 1_500;
    const repository = newName();
    const subject = await pushImage(registry.push, repository, ["v1"]);
    await registry.rows(
      `WITH signed AS (SELECT repository, media_type, keep_until FROM manifests WHERE digest = $2),
            signature AS (SELECT 'sha256:' || md5(n::text) || md5(n::text) AS digest FROM generate_series(1, $1) n),
            stored AS (
              INSERT INTO manifests (repository, digest, media_type, bytes, keep_until)
              SELECT repository, signature.digest, media_type, '', keep_until FROM signed, signature RETURNING repository, digest)
       INSERT INTO tags (repository, name, digest) SELECT repository, replace($2, ':', '-') || '.' || substr(digest, 8), digest FROM stored`,
      [many, subject.digest],
    );
    expect(await walkedThrough(() => deleteIt(repository, { digest: subject.digest }))).toBeLessThan(50 * many);
    await expect(manifestOf(repository, { digest: subject.digest })).rejects.toMatchObject({ code: "MANIFEST_UNKNOWN" });
    expect(
      await registry.rows("SELECT 1 FROM manifests m JOIN repositories r ON r.id = repository WHERE r.name = $1", [repository]),
    ).toEqual([]);
  });

  test("takes the statistics along, also those that were still in memory", async () => {
    const repository = newName();
    const image = await pushImage(registry.push, repository, ["v1"]);
    const kept = await pushImage(registry.push, repository, ["v2"]);
    const pulled = () => registry.rows("SELECT DISTINCT digest FROM pulls WHERE digest = ANY($1)", [[image.digest, kept.digest]]);
    await manifestOf(repository, { tag: "v1" });
    await registry.statistics.flush();
    expect(await pulled()).toEqual([{ digest: image.digest }]);
    await manifestOf(repository, { digest: image.digest });
    await manifestOf(repository, { tag: "v2" });
    await deleteIt(repository, { digest: image.digest });
    expect(await pulled()).toEqual([]);
    await registry.statistics.flush();
    expect(await pulled()).toEqual([{ digest: kept.digest }]);
  });

  test("puts manifests with tags and bytes into the trash, and queues what they named", async () => {
    const repository = newName();
    const image = await pushImage(registry.push, repository, ["b", "a"]);
    await deleteIt(repository, { tag: "b" });
    await deleteIt(repository, { digest: image.digest });
    await expect(manifestOf(repository, { tag: "a" })).rejects.toMatchObject({ code: "MANIFEST_UNKNOWN" });
    expect(
      await registry.rows(
        "SELECT tags, digest, media_type, bytes, by, reason FROM trash JOIN repositories r ON r.id = repository WHERE r.name = $1 ORDER BY trash.id",
        [repository],
      ),
    ).toEqual([
      { tags: ["b"], digest: image.digest, media_type: image.mediaType, bytes: image.bytes, by: "user:ci", reason: "client" },
      { tags: ["a"], digest: image.digest, media_type: image.mediaType, bytes: image.bytes, by: "user:ci", reason: "client" },
    ]);
    const queued = await registry.rows("SELECT DISTINCT digest FROM gc_queue WHERE digest = ANY($1)", [[image.config, image.layer]]);
    expect(queued).toHaveLength(2);
    await expect(deleteIt(repository, { digest: image.digest })).rejects.toMatchObject({ code: "MANIFEST_UNKNOWN" });
    await expect(deleteIt("team/never", { tag: "x" })).rejects.toMatchObject({ code: "NAME_UNKNOWN" });
  });

  test("a blob goes unless a manifest here names it", async () => {
    const repository = newName();
    const loose = await pushBlob(registry.push, repository);
    await registry.push.deleteBlob(repository, loose, pusher);
    await expect(blobOf(repository, loose)).rejects.toMatchObject({ code: "BLOB_UNKNOWN" });
    await expect(registry.push.deleteBlob(repository, loose, pusher)).rejects.toMatchObject({ code: "BLOB_UNKNOWN" });
    const image = await pushImage(registry.push, repository);
    await expect(registry.push.deleteBlob(repository, image.layer, pusher)).rejects.toMatchObject({
      code: "UNSUPPORTED",
      detail: { digest: image.layer, holder: `the manifest ${image.digest}` },
    });
    await deleteIt(repository, { digest: image.digest });
    await registry.push.deleteBlob(repository, image.layer, pusher);
  });

  test("referrers go with their subject, transitively, tags of cosign too; what has a life of its own stays", async () => {
    const repository = newName();
    const subject = await pushImage(registry.push, repository, ["v1"]);
    const sbom = await pushImage(registry.push, repository, [], { subject });
    const signatureOfSbom = await pushImage(registry.push, repository, [], { subject: sbom });
    const tagged = await pushImage(registry.push, repository, ["report"], { subject });
    const inIndex = await pushImage(registry.push, repository, [], { subject });
    await pushManifest(registry.push, repository, indexOf([inIndex]), { tags: ["kept-index"] });
    const hex = subject.digest.slice("sha256:".length);
    const attestation = await pushImage(registry.push, repository, [`sha256-${hex}.att`]);
    const fallback = await pushImage(registry.push, repository, [`sha256-${hex}`]);
    const unrelated = await pushImage(registry.push, repository, [`sha256-${hex}-not`, `sha256-${"0".repeat(64)}.sig`]);
    await deleteIt(repository, { digest: subject.digest });
    for (const { digest } of [subject, sbom, signatureOfSbom, attestation, fallback]) {
      await expect(manifestOf(repository, { digest })).rejects.toMatchObject({ code: "MANIFEST_UNKNOWN" });
    }
    for (const { digest } of [tagged, inIndex, unrelated]) expect((await manifestOf(repository, { digest })).digest).toBe(digest);
    const [{ count }] = (await registry.rows(
      "SELECT count(*) AS count FROM trash JOIN repositories r ON r.id = repository WHERE r.name = $1",
      [repository],
    )) as [{ count: number }];
    expect(count).toBe(5);
  });

  test("what a version tag holds stays, and is named", async () => {
    const repository = newName();
    const image = await pushImage(registry.push, repository);
    await registry.rows(
      "INSERT INTO ledger (repository, tag, digest, version, held) SELECT id, '1.27.3', $2, '1.27.3', $2 FROM repositories WHERE name = $1",
      [repository, image.digest],
    );
    await expect(deleteIt(repository, { digest: image.digest })).rejects.toMatchObject({
      code: "UNSUPPORTED",
      detail: { holder: "the version tag 1.27.3" },
    });
  });
});

describe("referrers", () => {
  test("are listed in order, also of a subject that is not here yet, and filtered by type", async () => {
    const repository = newName();
    const subject = described(mediaTypes.ociManifest, Buffer.from("not pushed yet"));
    const plain = await pushImage(registry.push, repository, [], { subject });
    const typed = await pushImage(registry.push, repository, [], { subject, artifactType: "application/x", annotations: { a: "b" } });
    const index = indexOf([], { subject });
    const pushed = await pushManifest(registry.push, repository, index);
    expect(pushed.subject).toBe(subject.digest);
    const expected = [
      { mediaType: plain.mediaType, digest: plain.digest, size: plain.size, artifactType: "application/vnd.oci.image.config.v1+json" },
      { mediaType: typed.mediaType, digest: typed.digest, size: typed.size, artifactType: "application/x", annotations: { a: "b" } },
      { mediaType: mediaTypes.ociIndex, digest: pushed.digest, size: index.byteLength },
    ].sort((a, b) => (a.digest < b.digest ? -1 : 1));
    expect(await referrersOf(repository, subject.digest)).toEqual(expected);
    expect(await referrersOf(repository, subject.digest, "application/x")).toEqual([expect.objectContaining({ digest: typed.digest })]);
    expect(await referrersOf(repository, digestOf("nobody"))).toEqual([]);
    expect(await referrersOf("team/never", digestOf("nobody"))).toEqual([]);
  });
});
