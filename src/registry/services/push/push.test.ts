import { randomBytes } from "node:crypto";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import {
  describe as described,
  imageOf,
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
import { maxManifestBytes } from "../../../domain/manifest.ts";
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
const referrersOf = async (repository: string, digest: Digest, artifactType?: string) =>
  (await registry.pull.referrers(repository, digest, reader, { artifactType })).referrers;
const deleteIt = (repository: string, reference: { tag: string } | { digest: Digest }) =>
  registry.push.deleteManifest(repository, reference, pusher, unprotected);
const layerType = "application/vnd.oci.image.layer.v1.tar";

describe("a manifest", () => {
  test("keeps its exact bytes, by tag and by digest, OCI and Docker", async () => {
    const repository = newName();
    const config = randomBytes(10);
    await pushBlob(registry.push, repository, config);
    for (const mediaType of [mediaTypes.ociManifest, mediaTypes.dockerManifest]) {
      const text = `{ "layers":[],\n  "schemaVersion":2, "mediaType":"${mediaType}", "config":${JSON.stringify(described("c/c", config))}\t}\n`;
      const bytes = Buffer.from(text);
      const { digest } = await pushManifest(registry.push, repository, bytes, { reference: { tag: "v1" }, mediaType });
      expect(digest).toBe(digestOf(bytes));
      expect(await manifestOf(repository, { tag: "v1" })).toEqual({ digest, mediaType, bytes });
      expect(await manifestOf(repository, { digest })).toEqual({ digest, mediaType, bytes });
    }
  });

  test("by sha512", async () => {
    const repository = newName();
    const bytes = indexOf([]);
    const digest = digestOf(bytes, "sha512");
    await pushManifest(registry.push, repository, bytes, { reference: { digest }, tags: ["a", "b"] });
    expect((await manifestOf(repository, { tag: "b" })).digest).toBe(digest);
  });

  test("a digest that is not that of the bytes is DIGEST_INVALID", async () => {
    const claimed = digestOf("something else");
    await expect(pushManifest(registry.push, newName(), indexOf([]), { reference: { digest: claimed } })).rejects.toMatchObject({
      code: "DIGEST_INVALID",
      detail: { claimed, actual: digestOf(indexOf([])) },
    });
  });

  test("over 4 MiB is PAYLOAD_TOO_LARGE, exactly 4 MiB is stored", async () => {
    const repository = newName();
    const padded = (size: number) => {
      const bytes = Buffer.alloc(size, " ");
      indexOf([]).copy(bytes);
      return bytes;
    };
    await expect(
      pushManifest(registry.push, repository, padded(maxManifestBytes + 1), { mediaType: mediaTypes.ociIndex }),
    ).rejects.toMatchObject({ code: "PAYLOAD_TOO_LARGE" });
    const { digest } = await pushManifest(registry.push, repository, padded(maxManifestBytes), { mediaType: mediaTypes.ociIndex });
    expect((await manifestOf(repository, { digest })).bytes.byteLength).toBe(maxManifestBytes);
  });

  test("one that is no manifest is MANIFEST_INVALID and leaves no repository", async () => {
    const repository = newName();
    for (const [bytes, mediaType] of [
      [Buffer.from("<html>"), mediaTypes.ociManifest],
      [indexOf([]), mediaTypes.ociManifest],
      [imageOf(described("a/b", randomBytes(2)), [], { manifests: [] }), mediaTypes.ociManifest],
      [Buffer.from('{"schemaVersion":1}'), mediaTypes.dockerSchema1],
    ] as const) {
      await expect(pushManifest(registry.push, repository, bytes, { mediaType })).rejects.toMatchObject({ code: "MANIFEST_INVALID" });
    }
    await expect(manifestOf(repository, { tag: "v1" })).rejects.toMatchObject({ code: "NAME_UNKNOWN" });
  });

  test("blobs that are missing are all named, and nothing is stored", async () => {
    const repository = newName();
    const there = await pushBlob(registry.push, repository, Buffer.from("there"));
    const missing = [digestOf("config"), digestOf("layer")].sort();
    const bytes = imageOf(described("c/c", Buffer.from("config")), [
      described(layerType, Buffer.from("layer")),
      described(layerType, Buffer.from("there")),
    ]);
    const refused = await pushManifest(registry.push, repository, bytes, { tags: ["v1"] }).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: "MANIFEST_BLOB_UNKNOWN" });
    expect((refused as { detail: { digests: Digest[] } }).detail.digests.toSorted()).toEqual(missing);
    expect(missing).not.toContain(there);
    await expect(manifestOf(repository, { tag: "v1" })).rejects.toMatchObject({ code: "MANIFEST_UNKNOWN" });
  });

  test("a blob of another repository is missing here", async () => {
    const other = newName();
    await pushBlob(registry.push, other, Buffer.from("private"));
    const bytes = imageOf(described("c/c", Buffer.from("private")), []);
    await expect(pushManifest(registry.push, newName(), bytes)).rejects.toMatchObject({
      code: "MANIFEST_BLOB_UNKNOWN",
      detail: { digests: [digestOf("private")] },
    });
  });

  test("non-distributable layers need not be here", async () => {
    const repository = newName();
    await pushBlob(registry.push, repository, Buffer.from("{}"));
    const foreign = described("application/vnd.oci.image.layer.nondistributable.v1.tar", Buffer.from("far away"));
    const bytes = imageOf(described("c/c", Buffer.from("{}")), [foreign]);
    const { digest } = await pushManifest(registry.push, repository, bytes);
    expect(await registry.rows("SELECT digest, held FROM manifest_blobs WHERE manifest = $1 ORDER BY held", [digest])).toEqual([
      { digest: digestOf("{}"), held: digestOf("{}") },
      { digest: foreign.digest, held: null },
    ]);
  });

  test("strings that a database dislikes are kept", async () => {
    const repository = newName();
    const annotations = { nul: "a\u0000b", half: "\ud800", ["__proto__"]: "x" };
    const { digest: subject } = await pushManifest(registry.push, repository, indexOf([]));
    const bytes = indexOf([], { annotations, subject: { ...described(mediaTypes.ociIndex, indexOf([])) } });
    const { digest } = await pushManifest(registry.push, repository, bytes);
    expect((await manifestOf(repository, { digest })).bytes).toEqual(bytes);
    expect((await referrersOf(repository, subject))[0]?.annotations).toMatchObject({ nul: "a\u0000b" });
  });

  test("under the prefix of an Upstream it is refused", async () => {
    await registry.rows("INSERT INTO prefixes VALUES ('ghcr', 'proxied', 'default/ghcr')");
    await expect(pushManifest(registry.push, "ghcr/x", indexOf([]))).rejects.toMatchObject({ code: "UNSUPPORTED" });
    await registry.rows("INSERT INTO repositories (name, upstream) VALUES ('ghcr/cached', 'default/ghcr')");
    await expect(deleteIt("ghcr/cached", { tag: "x" })).rejects.toMatchObject({ code: "UNSUPPORTED" });
    await expect(registry.push.deleteBlob("ghcr/cached", digestOf("x"), pusher)).rejects.toMatchObject({ code: "UNSUPPORTED" });
  });
});

describe("indexes", () => {
  test("hold the children that are here; a child that comes later is held from then on", async () => {
    const repository = newName();
    const here = await pushImage(registry.push, repository);
    const later = imageOf(described("c/c", Buffer.from("later config")), []);
    const index = indexOf([here, described(mediaTypes.ociManifest, later)]);
    const { digest } = await pushManifest(registry.push, repository, index, { tags: ["multi"] });
    const held = () =>
      registry.rows("SELECT child, held FROM manifest_children WHERE manifest = $1 ORDER BY child = $2", [digest, digestOf(later)]);
    expect(await held()).toEqual([
      { child: here.digest, held: here.digest },
      { child: digestOf(later), held: null },
    ]);
    await pushBlob(registry.push, repository, Buffer.from("later config"));
    await pushManifest(registry.push, repository, later);
    expect((await held())[1]).toEqual({ child: digestOf(later), held: digestOf(later) });
  });

  test("a child cannot be deleted before its index, and the answer names it", async () => {
    const repository = newName();
    const child = await pushImage(registry.push, repository);
    const { digest: index } = await pushManifest(registry.push, repository, indexOf([child]), { tags: ["multi"] });
    await expect(deleteIt(repository, { digest: child.digest })).rejects.toMatchObject({
      code: "UNSUPPORTED",
      message: expect.stringContaining(`the index ${index}`),
      detail: { digest: child.digest, holder: `the index ${index}` },
    });
    await deleteIt(repository, { digest: index });
    await deleteIt(repository, { digest: child.digest });
    await expect(manifestOf(repository, { digest: child.digest })).rejects.toMatchObject({ code: "MANIFEST_UNKNOWN" });
  });

  test("blobs in an index (BuildKit's cache) are held too", async () => {
    const repository = newName();
    await pushBlob(registry.push, repository, Buffer.from("cache layer"));
    const index = indexOf([described(layerType, Buffer.from("cache layer"))]);
    const { digest } = await pushManifest(registry.push, repository, index);
    await expect(registry.push.deleteBlob(repository, digestOf("cache layer"), pusher)).rejects.toMatchObject({
      code: "UNSUPPORTED",
      detail: { holder: `the manifest ${digest}` },
    });
  });

  test("`untagged_since` follows tags and parents", async () => {
    const repository = newName();
    const untagged = async (digest: Digest) =>
      (await registry.rows<{ loose: boolean }>("SELECT untagged_since IS NOT NULL AS loose FROM manifests WHERE digest = $1", [digest]))[0]
        ?.loose;
    const child = await pushImage(registry.push, repository);
    expect(await untagged(child.digest)).toBe(true);
    const { digest: index } = await pushManifest(registry.push, repository, indexOf([child]), { tags: ["a", "b"] });
    expect([await untagged(child.digest), await untagged(index)]).toEqual([false, false]);
    await deleteIt(repository, { tag: "a" });
    expect(await untagged(index)).toBe(false);
    await pushImage(registry.push, repository, ["b"]);
    expect(await untagged(index)).toBe(true);
    await deleteIt(repository, { digest: index });
    expect(await untagged(child.digest)).toBe(true);
    await pushManifest(registry.push, repository, child.bytes, { tags: ["c"] });
    expect(await untagged(child.digest)).toBe(false);
  });
});

describe("tags", () => {
  test("move, with history", async () => {
    const repository = newName();
    const first = await pushImage(registry.push, repository, ["latest"]);
    const second = await pushImage(registry.push, repository, ["latest", "v2"]);
    await pushManifest(registry.push, repository, second.bytes, { reference: { tag: "latest" } });
    await deleteIt(repository, { tag: "latest" });
    expect(
      await registry.rows(
        "SELECT e.name, digest, previous, by FROM tag_events e JOIN repositories r ON r.id = repository WHERE r.name = $1 AND e.name = 'latest' ORDER BY e.id",
        [repository],
      ),
    ).toEqual([
      { name: "latest", digest: first.digest, previous: null, by: "user:ci" },
      { name: "latest", digest: second.digest, previous: first.digest, by: "user:ci" },
      { name: "latest", digest: null, previous: second.digest, by: "user:ci" },
    ]);
    expect((await manifestOf(repository, { tag: "v2" })).digest).toBe(second.digest);
    await expect(deleteIt(repository, { tag: "latest" })).rejects.toMatchObject({ code: "MANIFEST_UNKNOWN" });
  });

  test("protected ones are made once, then neither moved nor deleted", async () => {
    const repository = newName();
    const isProtected = (tag: string) => tag.startsWith("v");
    const first = await pushImage(registry.push, repository);
    const second = await pushImage(registry.push, repository, ["latest"]);
    await pushManifest(registry.push, repository, first.bytes, { tags: ["v1"], isProtected });
    await pushManifest(registry.push, repository, first.bytes, { tags: ["v1"], isProtected });
    await expect(pushManifest(registry.push, repository, second.bytes, { tags: ["new", "v1"], isProtected })).rejects.toMatchObject({
      code: "DENIED",
      detail: { tag: "v1", digest: first.digest },
    });
    await expect(manifestOf(repository, { tag: "new" })).rejects.toMatchObject({ code: "MANIFEST_UNKNOWN" });
    for (const reference of [{ tag: "v1" }, { digest: first.digest }]) {
      await expect(registry.push.deleteManifest(repository, reference, pusher, { isProtected })).rejects.toMatchObject({ code: "DENIED" });
    }
    expect((await manifestOf(repository, { tag: "v1" })).digest).toBe(first.digest);
  });

  test("of many who make one protected tag at once, one wins", async () => {
    const repository = newName();
    const images = await Promise.all(Array.from({ length: 6 }, () => pushImage(registry.push, repository)));
    const answers = await Promise.allSettled(
      images.map(({ bytes }) => pushManifest(registry.push, repository, bytes, { reference: { tag: "v1" }, isProtected: () => true })),
    );
    const won = answers.filter(({ status }) => status === "fulfilled");
    expect(won).toHaveLength(1);
    const lost = answers.filter((answer) => answer.status === "rejected");
    expect(lost.map(({ reason }) => (reason as { code: string }).code)).toEqual(Array(5).fill("DENIED"));
  });

  test("moved by many at once, every push is acknowledged and history is one chain", async () => {
    const repository = newName();
    const images = await Promise.all(Array.from({ length: 8 }, () => pushImage(registry.push, repository)));
    await Promise.all(images.map(({ bytes }) => pushManifest(registry.push, repository, bytes, { reference: { tag: "latest" } })));
    const events = await registry.rows<{ digest: Digest; previous: Digest | null }>(
      "SELECT digest, previous FROM tag_events JOIN repositories r ON r.id = repository WHERE r.name = $1 ORDER BY tag_events.id",
      [repository],
    );
    expect(events.map(({ previous }) => previous)).toEqual([null, ...events.slice(0, -1).map(({ digest }) => digest)]);
    expect((await manifestOf(repository, { tag: "latest" })).digest).toBe(events.at(-1)!.digest);
    const loose = await registry.rows(
      "SELECT digest FROM manifests JOIN repositories r ON r.id = repository WHERE r.name = $1 AND untagged_since IS NULL",
      [repository],
    );
    expect(loose).toEqual([{ digest: events.at(-1)!.digest }]);
  });
});

test("two pushes of the same bytes share one object; the second is due at once", async () => {
  const bytes = randomBytes(50);
  const digest = await pushBlob(registry.push, newName(), bytes);
  await pushBlob(registry.push, newName(), bytes);
  expect(await registry.rows("SELECT count(*) AS count FROM blobs WHERE digest = $1", [digest])).toEqual([{ count: 1 }]);
  expect(await registry.rows("SELECT state FROM objects WHERE size = 50 ORDER BY state")).toEqual([{ state: "doomed" }, { state: "live" }]);
});

test("the first push into a segment takes the prefix", async () => {
  await pushBlob(registry.push, "segment/a/b");
  await pushBlob(registry.push, "segment/c");
  await pushBlob(registry.push, "single");
  expect(await registry.rows("SELECT prefix, kind FROM prefixes WHERE prefix IN ('segment', 'single') ORDER BY prefix")).toEqual([
    { prefix: "segment", kind: "own" },
    { prefix: "single", kind: "own" },
  ]);
});

test("many first pushes at once make one repository", async () => {
  const repository = "crowd/app";
  await Promise.all(Array.from({ length: 12 }, () => pushBlob(registry.push, repository)));
  expect(await registry.rows("SELECT count(*) AS count FROM repositories WHERE name = $1", [repository])).toEqual([{ count: 1 }]);
});

test("statements of a manifest push do not grow with its layers, and are few", async () => {
  const push = async (layers: number) => {
    const repository = newName();
    const blobs = Array.from({ length: layers + 1 }, () => randomBytes(16));
    for (const blob of blobs) await pushBlob(registry.push, repository, blob);
    const [config, ...rest] = blobs.map((blob) => described(layerType, blob));
    registry.statements();
    await pushManifest(registry.push, repository, imageOf(config!, rest), { reference: { tag: "v1" } });
    return registry.statements();
  };
  const small = await push(1);
  expect(await push(40)).toEqual(small);
  expect(small.length).toBeLessThanOrEqual(13);
});
