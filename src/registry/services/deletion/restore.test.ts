// Images with all that belongs to them: they go together, and come back together or not at all.

import { afterEach, beforeEach, expect, test } from "vitest";

import { describe, indexOf, pusher, pushImage, pushManifest, reader, unprotected } from "../../../../test/support/own-registry.ts";
import { names, openRetention, repository, spec, type RetentionWorld } from "../../../../test/support/retention.ts";
import { digestOf, hexOf, type Digest } from "../../../domain/digest.ts";
import { mediaTypes } from "../../../domain/media-types.ts";
import { restore } from "./restore.ts";

let world: RetentionWorld;
beforeEach(async () => {
  world = await openRetention();
});
afterEach(() => world.close());

interface Tree {
  readonly index: Digest;
  readonly children: readonly Digest[];
  readonly signature: Digest;
  readonly sbom: Digest;
  readonly signatureTag: string;
  /** Of the second child. */
  readonly layer: Digest;
}

/** An index of two images, a signature under its `sha256-<hex>.sig` tag, an SBOM with it as subject. */
async function pushTree(tag: string): Promise<Tree> {
  const children = [await pushImage(world.registry.push, repository), await pushImage(world.registry.push, repository)];
  const bytes = indexOf(children.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })));
  await pushManifest(world.registry.push, repository, bytes, { tags: [tag] });
  const index = digestOf(bytes);
  const signatureTag = `sha256-${hexOf(index)}.sig`;
  const signature = await pushImage(world.registry.push, repository, [signatureTag]);
  const subject = describe(mediaTypes.ociIndex, bytes);
  const sbom = await pushImage(world.registry.push, repository, [], { subject });
  return {
    index,
    children: children.map(({ digest }) => digest),
    signature: signature.digest,
    sbom: sbom.digest,
    signatureTag,
    layer: children[1]!.layer,
  };
}

test("an index goes with its children and referrers, and all of it comes back", async () => {
  const tree = await pushTree("pr-1");
  const kept = await pushTree("v1");
  await world.publish({ builds: spec([{ name: "releases", tags: "v.*" }]) });
  const plan = await world.retention.plan("default/builds");
  expect(names(plan.entries.filter(({ verdict }) => verdict === "delete"))).toEqual(
    ["pr-1", tree.sbom, tree.signatureTag, ...tree.children].sort(),
  );
  expect(plan.totals.bytes).toBe(4 * 160); // two children, signature and SBOM, each with a config and a layer
  const applied = await world.retention.apply("default/builds", { plan: plan.id }, "admin");
  expect(names(applied.deleted)).toEqual(["pr-1", tree.sbom, tree.signatureTag, ...tree.children].sort());
  expect(applied.kept).toEqual([]);
  expect(applied.bytes).toBe(4 * 160);
  const left = await world.registry.rows<{ digest: Digest }>("SELECT digest FROM manifests ORDER BY digest");
  expect(left.map(({ digest }) => digest)).toEqual([kept.index, ...kept.children, kept.signature, kept.sbom].sort());

  const restored = await restore(world.registry.database, { repository, tag: "pr-1" }, "admin");
  expect(restored.gone).toEqual([]);
  expect(restored.restored[0]).toEqual({ digest: tree.index, tags: ["pr-1"] });
  expect(restored.restored.map(({ digest }) => digest).sort()).toEqual([tree.index, ...tree.children, tree.signature, tree.sbom].sort());
  expect((await world.registry.pull.referrers(repository, tree.index, reader, {})).referrers.map(({ digest }) => digest)).toEqual([
    tree.sbom,
  ]);
  expect((await world.registry.pull.manifest(repository, { tag: tree.signatureTag }, reader, { head: false })).digest).toBe(tree.signature);
  const held = await world.registry.rows("SELECT FROM manifest_children WHERE manifest = $1 AND held IS NOT NULL", [tree.index]);
  expect(held).toHaveLength(2);
  const loose = await world.registry.rows("SELECT digest FROM manifests WHERE untagged_since IS NOT NULL");
  expect(loose).toEqual([]);
});

test("restore: tags that point elsewhere now are left there and named, nothing comes back by halves", async () => {
  const { digest } = await pushImage(world.registry.push, repository, ["a", "b"]);
  await world.registry.push.deleteManifest(repository, { digest }, pusher, unprotected);
  const moved = await pushImage(world.registry.push, repository, ["b"]);
  expect(await restore(world.registry.database, { repository, digest }, "admin")).toEqual({
    repository,
    restored: [{ digest, tags: ["a"] }],
    gone: [`tag b: it points at ${moved.digest} now`],
  });
  expect((await world.registry.pull.manifest(repository, { tag: "b" }, reader, { head: false })).digest).toBe(moved.digest);

  const tree = await pushTree("v1");
  await world.registry.push.deleteManifest(repository, { digest: tree.index }, pusher, unprotected);
  for (const child of tree.children) await world.registry.push.deleteManifest(repository, { digest: child }, pusher, unprotected);
  await world.registry.rows("DELETE FROM repository_blobs WHERE digest = $1", [tree.layer]);
  const before = await world.registry.rows("SELECT digest FROM manifests ORDER BY digest");
  await expect(restore(world.registry.database, { repository, tag: "v1" }, "admin")).rejects.toMatchObject({
    code: "CONFLICT",
    message: `${repository}@${tree.children[1] ?? ""} cannot be restored: 1 of its blobs are collected already (${tree.layer}). Nothing was changed. Push the image again.`,
  });
  expect(await world.registry.rows("SELECT digest FROM manifests ORDER BY digest")).toEqual(before);
});

test("restore: a referrer whose bytes are collected is named, the image comes back without it", async () => {
  const tree = await pushTree("v1");
  const [blob] = await world.registry.rows<{ digest: Digest }>(
    "SELECT digest FROM manifest_blobs WHERE manifest = $1 ORDER BY digest LIMIT 1",
    [tree.sbom],
  );
  await world.registry.push.deleteManifest(repository, { digest: tree.index }, pusher, unprotected);
  await world.registry.rows("DELETE FROM repository_blobs WHERE digest = $1", [blob?.digest]);
  const result = await restore(world.registry.database, { repository, digest: tree.index }, "admin");
  expect(result.gone).toEqual([`referrer ${tree.sbom}: its bytes are collected (${blob?.digest ?? ""})`]);
  expect(result.restored.map(({ digest }) => digest)).toContain(tree.signature);
});

test.each([
  [{ repository: "team-a/none", tag: "x" }, "NOT_FOUND", "team-a/none:x is not in the trash"],
  [{ repository, tag: "x" }, "NOT_FOUND", "team-a/app:x is not in the trash"],
  [{ repository, digest: digestOf("x") }, "NOT_FOUND", "is not in the trash"],
  [{ repository }, "INVALID", "Say either which tag or which digest"],
  [{ repository, tag: "x", digest: digestOf("x") }, "INVALID", "Say either which tag or which digest"],
  [{ repository, tag: "-" }, "INVALID", "Say either which tag or which digest"],
])("restore of %j is %s", async (request, code, message) => {
  await pushImage(world.registry.push, repository, ["v1"]);
  await expect(restore(world.registry.database, request, "admin")).rejects.toMatchObject({
    code,
    message: expect.stringContaining(message),
  });
});
