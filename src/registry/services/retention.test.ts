import { randomUUID } from "node:crypto";

import { afterEach, beforeEach, describe as describeTests, expect, test } from "vitest";

import {
  describe,
  imageOf,
  indexOf,
  longTimes,
  noTimes,
  openOwnRegistry,
  pushBlob,
  pusher,
  pushImage,
  pushManifest,
  reader,
  unprotected,
  type OwnRegistry,
  type PushedImage,
} from "../../../test/support/own-registry.ts";
import type { LedgerDocument, PublishRequest } from "../../api/control/record.ts";
import type { PlanEntry } from "../../api/control/retention.ts";
import { digestOf, hexOf, type Digest } from "../../domain/digest.ts";
import { mediaTypes } from "../../domain/media-types.ts";
import { createLogger } from "../../observability/logger.ts";
import { newestActivity } from "../metadata/activity.ts";
import { followersAtOnce } from "../metadata/manifest-deletion.ts";
import { insertRun } from "../metadata/runs.ts";
import { waitingProposals } from "../metadata/proposals.ts";
import { ConfigurationStore } from "./configuration-store.ts";
import { History } from "./history.ts";
import { PublishService } from "./publish.ts";
import { restore } from "./restore.ts";
import { RetentionService } from "./retention.ts";
import { Workloads } from "./workloads.ts";

let registry: OwnRegistry;
let configuration: ConfigurationStore;
let history: History;
let retention: RetentionService;
let workloads: Workloads;
let base: string | null;
const isProtected = (_: string, tag: string) => tag.endsWith(".keep");
const options = () => ({ database: registry.database, configuration, pullsCounted: { own: true, proxied: false }, isProtected, history });

beforeEach(async () => {
  registry = await openOwnRegistry();
  await registry.setTimes({ ...longTimes, lease: 0 });
  const { database } = registry;
  configuration = new ConfigurationStore({ database, pod: "test", logger: createLogger({ level: "silent" }) });
  history = new History({ database, logger: createLogger({ level: "silent" }) });
  workloads = new Workloads({ database, configuration, clusters: [] });
  retention = new RetentionService({ ...options(), workloads });
  base = null;
});
afterEach(async () => {
  await history.stop();
  await registry.close();
});

type Keep = readonly object[];
const repository = "team-a/app";
const spec = (keep: Keep, more: object = {}) => ({
  repositories: { include: ["team-a/**"] },
  action: "Delete",
  keep,
  limits: { maxDeletePercent: 100 },
  ...more,
});

async function publish(policies: Readonly<Record<string, object>>, more: Partial<PublishRequest> = {}): Promise<void> {
  const revision = randomUUID();
  const resources = Object.entries(policies).map(([name, { suspend = false, ...spec }]: [string, { suspend?: boolean }]) => {
    return { kind: "RetentionPolicy" as const, namespace: "default", name, generation: 1, revision, suspend, spec };
  });
  const { resources: others = [], ...rest } = more;
  const service = new PublishService({ database: registry.database, configuration });
  await service.publish({ revision, base, resources: [...resources, ...others], ledgers: {}, settled: [], ...rest });
  base = revision;
}

const tagsOf = async (name = repository) => (await registry.pull.tags(name, reader, { limit: 100 })).tags;
const deletes = ({ entries }: { entries: readonly PlanEntry[] }) =>
  entries.filter(({ verdict }) => verdict === "delete").map(({ tag, digest }) => tag ?? digest);
const names = (entries: readonly PlanEntry[]) => entries.map(({ tag, digest }) => tag ?? digest).sort();
async function pushBuilds(count: number): Promise<Digest[]> {
  const digests: Digest[] = [];
  for (let build = 1; build <= count; build++) digests.push((await pushImage(registry.push, repository, [`build-${build}`])).digest);
  return digests;
}
/** Makes everything look as if it had happened `hours` earlier. */
async function age(hours: number): Promise<void> {
  for (const [table, column] of [
    ["tags", "updated_at"],
    ["manifests", "pushed_at"],
    ["manifests", "untagged_since"],
    ["manifests", "keep_until"],
    ["installation", "created_at"],
  ]) {
    await registry.rows(`UPDATE ${table} SET ${column} = ${column} - make_interval(hours => $1)`, [hours]);
  }
}

test("a subject with more referrers than go at once: no transaction of the apply takes more, and all of them are gone", async () => {
  const [first] = (await pushBuilds(2)) as [Digest, Digest];
  await registry.rows(
    `INSERT INTO manifests (repository, digest, media_type, bytes, subject, keep_until)
     SELECT m.repository, 'sha256:' || md5(n::text) || md5(n::text), m.media_type, '', m.digest, now()
     FROM manifests m, generate_series(1, 2500) n WHERE m.digest = $1`,
    [first],
  );
  // A client deleted another one and died before what followed it was judged: that is done on the way, and a protected tag holds.
  const kept = (await pushImage(registry.push, repository, [`sha256-${"0".repeat(64)}.keep`])).digest;
  await age(1);
  await registry.rows(
    `INSERT INTO departed (repository, digest, by, reason, trash, heeds_protection)
     SELECT repository, $2, 'user:ci', 'client', true, true FROM manifests WHERE digest = $1`,
    [first, `sha256:${"0".repeat(64)}`],
  );
  const keep = { tags: "sha256-.*", mostRecentlyPushed: 1 };
  await publish({
    builds: spec([
      { name: "recent", tags: "build-.*", mostRecentlyPushed: 1 },
      { name: "kept", ...keep },
    ]),
  });
  const plan = await retention.plan("default/builds");
  expect(deletes(plan)).toHaveLength(2_501);
  const applied = await retention.apply("default/builds", { plan: plan.id }, "admin");
  expect(names(applied.deleted)).toEqual(deletes(plan).toSorted());
  expect(await registry.rows("SELECT count(*) AS manifests, sum((digest = $1)::int) AS kept FROM manifests", [kept])).toEqual([
    { manifests: 2, kept: 1 },
  ]);
  const transactions = await registry.rows<{ count: number }>("SELECT count(*) AS count FROM trash GROUP BY xmin::text");
  expect(transactions.reduce((sum, { count }) => sum + count, 0)).toBe(2_501);
  expect(Math.max(...transactions.map(({ count }) => count))).toBeLessThanOrEqual(followersAtOnce);
  expect(await registry.rows("SELECT FROM departed")).toEqual([]);
});

test("plan, apply, restore, apply, collect: what no rule keeps goes, comes back, goes, and its bytes with it", async () => {
  const [first, second, third] = (await pushBuilds(3)) as [Digest, Digest, Digest];
  await pushImage(registry.push, repository, ["v1.0"]);
  await publish({
    builds: spec([
      { name: "releases", tags: "v.*" },
      { name: "recent", tags: "build-.*", mostRecentlyPushed: 1 },
    ]),
  });

  const plan = await retention.plan("default/builds");
  expect(plan).toMatchObject({ policy: "default/builds", action: "Delete", totals: { kept: 2, deleted: 2, bytes: 320 } });
  expect(plan.blocked).toBeUndefined();
  expect(plan.notes).toEqual(["inUse asks nothing: no cluster is configured"]);
  expect(deletes(plan)).toEqual(["build-1", "build-2"]);
  expect(await retention.plan("default/builds")).toMatchObject({ id: plan.id });

  const applied = await retention.apply("default/builds", { plan: plan.id }, "admin");
  expect(applied).toMatchObject({ plan: plan.id, kept: [], proposals: [], bytes: 320 });
  expect(names(applied.deleted)).toEqual(["build-1", "build-2"]);
  expect(await tagsOf()).toEqual(["build-3", "v1.0"]);
  await expect(registry.pull.manifest(repository, { digest: first }, reader, { head: false })).rejects.toMatchObject({
    code: "MANIFEST_UNKNOWN",
  });
  expect(deletes(await retention.plan("default/builds"))).toEqual([]);

  await history.stop();
  const restored = await restore(registry.database, { repository, tag: "build-1" }, "admin");
  expect(restored).toEqual({ repository, restored: [{ digest: first, tags: ["build-1"] }], gone: [] });
  expect((await registry.pull.manifest(repository, { tag: "build-1" }, reader, { head: false })).digest).toBe(first);
  // A restore is a push: now build-1 is the most recent one.
  const again = await retention.plan("default/builds");
  expect(deletes(again)).toEqual(["build-3"]);
  await retention.apply("default/builds", { plan: again.id }, "admin");
  expect(await tagsOf()).toEqual(["build-1", "v1.0"]);

  const collector = registry.collector(noTimes);
  await registry.setTimes(noTimes);
  await registry.rows("UPDATE gc_queue SET review_after = now()");
  expect(await collector.runOnce()).toMatchObject({ links: 4, blobs: 4, swept: 4 });
  await expect(restore(registry.database, { repository, digest: second }, "admin")).rejects.toMatchObject({ code: "NOT_FOUND" });
  await expect(restore(registry.database, { repository, digest: third }, "admin")).rejects.toMatchObject({ code: "NOT_FOUND" });
  await history.stop();
  expect((await newestActivity(registry.database, 10)).map(({ action, reference }) => [action, reference])).toEqual([
    ["prune", "default/builds"],
    ["restore", "build-1"],
    ["prune", "default/builds"],
  ]);
});

test("what was applied is answered, also when the history cannot be kept", async () => {
  await pushBuilds(2);
  await age(1);
  await publish({ builds: spec([{ name: "recent", tags: "build-.*", mostRecentlyPushed: 1 }]) });
  const plan = await retention.plan("default/builds");
  await registry.rows("ALTER TABLE activity RENAME TO elsewhere");
  expect(names((await retention.apply("default/builds", { plan: plan.id }, "admin")).deleted)).toEqual(["build-1"]);
});

test("a policy with action: Plan, and a suspended one, delete nothing; their plans are made and their keep rules count", async () => {
  await pushBuilds(2);
  await publish({ plans: { ...spec([{ name: "first", tags: "build-1" }]), action: "Plan" }, deletes: spec([{ name: "none", tags: "x" }]) });
  const plan = await retention.plan("default/plans");
  expect(deletes(plan)).toEqual(["build-2"]);
  await expect(retention.apply("default/plans", { plan: plan.id }, "admin")).rejects.toMatchObject({
    code: "CONFLICT",
    message:
      "RetentionPolicy default/plans has action: Plan, so nothing is deleted. Write spec.action: Delete to let it delete what no rule keeps.",
  });
  const other = await retention.plan("default/deletes");
  expect(other.entries.find(({ tag }) => tag === "build-1")).toMatchObject({ verdict: "keep", rule: "default/plans: first" });
  await publish({ plans: spec([{ name: "first", tags: "build-1" }]), deletes: { ...spec([{ name: "none", tags: "x" }]), suspend: true } });
  await expect(retention.apply("default/deletes", { plan: other.id }, "admin")).rejects.toMatchObject({
    code: "CONFLICT",
    message: expect.stringContaining("is suspended"),
  });
  expect(await tagsOf()).toEqual(["build-1", "build-2"]);
});

test("a policy that this release refused keeps everything, also against others", async () => {
  await pushBuilds(1);
  await publish({ good: spec([{ name: "none", tags: "x" }]), newer: spec([{ name: "r", tags: "(?=x)" }]) });
  const plan = await retention.plan("default/good");
  expect(plan.entries).toMatchObject([{ tag: "build-1", verdict: "keep", rule: "default/newer: invalid" }]);
});

test("an unknown policy and an unknown plan are named", async () => {
  await publish({ builds: spec([{ name: "all" }]) });
  await expect(retention.plan("default/other")).rejects.toMatchObject({
    code: "NOT_FOUND",
    message:
      "No RetentionPolicy default/other is published. If there is such a resource, `npx wharfinger get retentionpolicy default/other` says why it is not served.",
  });
  await expect(retention.apply("default/builds", { plan: "abc" }, "admin")).rejects.toMatchObject({
    code: "NOT_FOUND",
    message: expect.stringContaining("wharfinger plan default/builds"),
  });
});

test("a plan is applied only where it is still true: what moved, came back into a rule or was tagged again is kept and said", async () => {
  await pushBuilds(4);
  await publish({ builds: spec([{ name: "none", tags: "keep-.*" }]) });
  const plan = await retention.plan("default/builds");
  expect(deletes(plan)).toHaveLength(4);
  const moved = await pushImage(registry.push, repository, ["build-1"]);
  const second = await registry.pull.manifest(repository, { tag: "build-2" }, reader, { head: false });
  await pushManifest(registry.push, repository, Buffer.from(second.bytes), { tags: ["keep-2"] });
  await registry.push.deleteManifest(repository, { tag: "build-3" }, pusher, unprotected);
  const applied = await retention.apply("default/builds", { plan: plan.id }, "admin");
  expect(names(applied.deleted)).toEqual(["build-2", "build-4"]);
  expect(applied.kept.map(({ tag, verdict, rule, reason }) => ({ tag, verdict, rule, reason }))).toEqual([
    { tag: "build-1", verdict: "keep", rule: "changed", reason: `the tag points at ${moved.digest} now` },
    { tag: "build-3", verdict: "keep", rule: "changed", reason: "the tag is gone already" },
  ]);
  expect(await tagsOf()).toEqual(["build-1", "keep-2"]);
});

test("a policy that is changed between two batches stops there", async () => {
  await pushBuilds(1);
  await publish({ builds: spec([{ name: "none", tags: "x" }]) });
  const plan = await retention.plan("default/builds");
  await publish({ builds: spec([{ name: "all" }]) });
  const applied = await retention.apply("default/builds", { plan: plan.id }, "admin");
  expect(applied).toMatchObject({ deleted: [], kept: [{ tag: "build-1", rule: "all", reason: "it keeps all of them" }] });
});

test("a policy that no longer selects the repository, or is gone, deletes nothing of its older plans", async () => {
  await pushBuilds(1);
  await publish({ builds: spec([{ name: "none", tags: "x" }]) });
  const plan = await retention.plan("default/builds");
  await publish({ builds: spec([{ name: "none", tags: "x" }], { repositories: { include: ["team-b/**"] } }) });
  const applied = await retention.apply("default/builds", { plan: plan.id }, "admin");
  expect(applied).toMatchObject({
    deleted: [],
    kept: [{ tag: "build-1", rule: "changed", reason: "the policy does not select it any more" }],
  });
  await publish({});
  await expect(retention.apply("default/builds", { plan: plan.id }, "admin")).rejects.toMatchObject({ code: "NOT_FOUND" });
  expect(await tagsOf()).toEqual(["build-1"]);
});

test("limits stop a plan; the approval is for exactly this plan, once", async () => {
  await pushBuilds(4);
  await publish({ builds: spec([{ name: "one", tags: "build-4" }], { limits: { maxDeletePercent: 50, minTags: 4 } }) });
  const plan = await retention.plan("default/builds");
  expect(plan.blocked).toMatchObject({ reason: "LimitExceeded" });
  await expect(retention.apply("default/builds", { plan: plan.id }, "admin")).rejects.toMatchObject({
    code: "CONFLICT",
    message: expect.stringContaining(
      `run \`npx wharfinger job prune --policy default/builds --approve ${plan.id}\`, or set the annotation wharfinger.dev/approve-plan: ${plan.id} on RetentionPolicy default/builds`,
    ),
  });
  expect(await tagsOf()).toHaveLength(4);
  await pushImage(registry.push, repository, ["build-5"]);
  const other = await retention.plan("default/builds");
  expect(other.id).not.toBe(plan.id);
  // What the approved plan did not say is not deleted by it.
  expect(names((await retention.apply("default/builds", { plan: plan.id, approve: true }, "admin")).deleted)).toEqual([
    "build-1",
    "build-2",
    "build-3",
  ]);
  expect(await tagsOf()).toEqual(["build-4", "build-5"]);
  await expect(retention.apply("default/builds", { plan: plan.id, approve: true }, "admin")).rejects.toMatchObject({
    code: "CONFLICT",
    message: expect.stringContaining("applied already"),
  });
});

test("one tag of two: the other tag and the image stay; restore brings the tag back", async () => {
  const { digest } = await pushImage(registry.push, repository, ["v1", "latest"]);
  await publish({ builds: spec([{ name: "releases", tags: "v.*" }]) });
  const plan = await retention.plan("default/builds");
  expect(await retention.apply("default/builds", { plan: plan.id }, "admin")).toMatchObject({ deleted: [{ tag: "latest" }], bytes: 0 });
  expect((await registry.pull.manifest(repository, { tag: "v1" }, reader, { head: false })).digest).toBe(digest);
  expect(await restore(registry.database, { repository, tag: "latest" }, "admin")).toMatchObject({
    restored: [{ digest, tags: ["latest"] }],
    gone: [],
  });
  expect(await tagsOf()).toEqual(["latest", "v1"]);
});

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
  const children = [await pushImage(registry.push, repository), await pushImage(registry.push, repository)];
  const bytes = indexOf(children.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })));
  await pushManifest(registry.push, repository, bytes, { tags: [tag] });
  const index = digestOf(bytes);
  const signatureTag = `sha256-${hexOf(index)}.sig`;
  const signature = await pushImage(registry.push, repository, [signatureTag]);
  const subject = describe(mediaTypes.ociIndex, bytes);
  const sbom = await pushImage(registry.push, repository, [], { subject });
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
  await publish({ builds: spec([{ name: "releases", tags: "v.*" }]) });
  const plan = await retention.plan("default/builds");
  expect(names(plan.entries.filter(({ verdict }) => verdict === "delete"))).toEqual(
    ["pr-1", tree.sbom, tree.signatureTag, ...tree.children].sort(),
  );
  expect(plan.totals.bytes).toBe(4 * 160); // two children, signature and SBOM, each with a config and a layer
  const applied = await retention.apply("default/builds", { plan: plan.id }, "admin");
  expect(names(applied.deleted)).toEqual(["pr-1", tree.sbom, tree.signatureTag, ...tree.children].sort());
  expect(applied.kept).toEqual([]);
  expect(applied.bytes).toBe(4 * 160);
  const left = await registry.rows<{ digest: Digest }>("SELECT digest FROM manifests ORDER BY digest");
  expect(left.map(({ digest }) => digest)).toEqual([kept.index, ...kept.children, kept.signature, kept.sbom].sort());

  const restored = await restore(registry.database, { repository, tag: "pr-1" }, "admin");
  expect(restored.gone).toEqual([]);
  expect(restored.restored[0]).toEqual({ digest: tree.index, tags: ["pr-1"] });
  expect(restored.restored.map(({ digest }) => digest).sort()).toEqual([tree.index, ...tree.children, tree.signature, tree.sbom].sort());
  expect((await registry.pull.referrers(repository, tree.index, reader, {})).referrers.map(({ digest }) => digest)).toEqual([tree.sbom]);
  expect((await registry.pull.manifest(repository, { tag: tree.signatureTag }, reader, { head: false })).digest).toBe(tree.signature);
  const held = await registry.rows("SELECT FROM manifest_children WHERE manifest = $1 AND held IS NOT NULL", [tree.index]);
  expect(held).toHaveLength(2);
  const loose = await registry.rows("SELECT digest FROM manifests WHERE untagged_since IS NOT NULL");
  expect(loose).toEqual([]);
});

test("restore: tags that point elsewhere now are left there and named, nothing comes back by halves", async () => {
  const { digest } = await pushImage(registry.push, repository, ["a", "b"]);
  await registry.push.deleteManifest(repository, { digest }, pusher, unprotected);
  const moved = await pushImage(registry.push, repository, ["b"]);
  expect(await restore(registry.database, { repository, digest }, "admin")).toEqual({
    repository,
    restored: [{ digest, tags: ["a"] }],
    gone: [`tag b: it points at ${moved.digest} now`],
  });
  expect((await registry.pull.manifest(repository, { tag: "b" }, reader, { head: false })).digest).toBe(moved.digest);

  const tree = await pushTree("v1");
  await registry.push.deleteManifest(repository, { digest: tree.index }, pusher, unprotected);
  for (const child of tree.children) await registry.push.deleteManifest(repository, { digest: child }, pusher, unprotected);
  await registry.rows("DELETE FROM repository_blobs WHERE digest = $1", [tree.layer]);
  const before = await registry.rows("SELECT digest FROM manifests ORDER BY digest");
  await expect(restore(registry.database, { repository, tag: "v1" }, "admin")).rejects.toMatchObject({
    code: "CONFLICT",
    message: `${repository}@${tree.children[1] ?? ""} cannot be restored: 1 of its blobs are collected already (${tree.layer}). Nothing was changed. Push the image again.`,
  });
  expect(await registry.rows("SELECT digest FROM manifests ORDER BY digest")).toEqual(before);
});

test("restore: a referrer whose bytes are collected is named, the image comes back without it", async () => {
  const tree = await pushTree("v1");
  const [blob] = await registry.rows<{ digest: Digest }>("SELECT digest FROM manifest_blobs WHERE manifest = $1 ORDER BY digest LIMIT 1", [
    tree.sbom,
  ]);
  await registry.push.deleteManifest(repository, { digest: tree.index }, pusher, unprotected);
  await registry.rows("DELETE FROM repository_blobs WHERE digest = $1", [blob?.digest]);
  const result = await restore(registry.database, { repository, digest: tree.index }, "admin");
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
  await pushImage(registry.push, repository, ["v1"]);
  await expect(restore(registry.database, request, "admin")).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
});

test("a leased manifest outlives its tag: the tag goes, the image once the lease and untagged.keepFor are over", async () => {
  await registry.setTimes(longTimes);
  const { digest } = await pushImage(registry.push, repository, ["pr-1"]);
  await publish({ builds: spec([{ name: "none", tags: "x" }], { untagged: { keepFor: "3h" } }) });
  const plan = await retention.plan("default/builds");
  expect(await retention.apply("default/builds", { plan: plan.id }, "admin")).toMatchObject({ deleted: [{ tag: "pr-1" }], bytes: 0 });
  expect((await retention.plan("default/builds")).entries).toMatchObject([{ digest, verdict: "keep", rule: "lease" }]);
  await age(2);
  expect((await retention.plan("default/builds")).entries).toMatchObject([{ digest, verdict: "keep", rule: "untagged" }]);
  await age(2);
  const last = await retention.plan("default/builds");
  expect(last.entries).toMatchObject([{ digest, verdict: "delete", rule: "untagged", bytes: 160 }]);
  expect(await retention.apply("default/builds", { plan: last.id }, "admin")).toMatchObject({ bytes: 160 });
  // What was untagged comes back by its digest.
  expect(await restore(registry.database, { repository, digest }, "admin")).toMatchObject({ restored: [{ digest, tags: ["pr-1"] }] });
});

test("a plan starts the time of untagged manifests for which none runs, of referrers only when their subject was deleted", async () => {
  const { digest } = await pushImage(registry.push, repository, []);
  const early = await pushImage(registry.push, repository, [], {
    subject: { mediaType: mediaTypes.ociManifest, digest: digestOf("later"), size: 1 },
  });
  const orphan = await pushImage(registry.push, repository, [], {
    subject: { mediaType: mediaTypes.ociManifest, digest: digestOf("was here"), size: 1 },
  });
  await registry.rows("INSERT INTO tag_events (repository, name, digest, previous, by) SELECT id, 'x', NULL, $1, 'ci' FROM repositories", [
    digestOf("was here"),
  ]);
  await registry.rows("UPDATE manifests SET untagged_since = NULL");
  await publish({ builds: spec([{ name: "none", tags: "x" }]) });
  await retention.plan("default/builds");
  await age(30);
  expect(deletes(await retention.plan("default/builds"))).toEqual([digest, orphan.digest].sort());
  expect(early.digest).not.toBe(orphan.digest);
});

test("pulls: nothing goes before they were counted for that long; a pull by digest counts for the tag", async () => {
  const [first] = (await pushBuilds(2)) as [Digest];
  await publish({ builds: spec([{ name: "used", pulledWithin: "720h" }]) });
  expect(deletes(await retention.plan("default/builds"))).toEqual([]);
  await age(800);
  await registry.pull.manifest(repository, { digest: first }, reader, { head: false });
  await registry.statistics.flush();
  const plan = await retention.plan("default/builds");
  expect(deletes(plan)).toEqual(["build-2"]);
  expect(plan.notes.some((note) => note.startsWith("pulls of own repositories are counted since "))).toBe(true);
});

test("a push of the same image is a push: what is pushed every night is not old", async () => {
  const { bytes } = await pushImage(registry.push, repository, ["nightly", "old"]);
  await age(800);
  await pushManifest(registry.push, repository, bytes, { tags: ["nightly"] });
  await publish({ builds: spec([{ name: "fresh", tags: "nightly", pushedWithin: "720h" }]) });
  expect(deletes(await retention.plan("default/builds"))).toEqual(["old"]);
});

test("bytes that another repository holds do not come free", async () => {
  const layer = Buffer.alloc(1000, "shared");
  const config = describe(mediaTypes.ociEmpty, Buffer.from("{}"));
  for (const name of [repository, "team-b/other"]) {
    for (const blob of [layer, Buffer.from("{}")]) await pushBlob(registry.push, name, blob);
    const bytes = imageOf(config, [describe("application/vnd.oci.image.layer.v1.tar", layer)], { annotations: { name } });
    await pushManifest(registry.push, name, bytes, { tags: ["x"] });
  }
  await registry.push.mount("team-a/third", pusher, { digest: digestOf(layer), from: repository, readable: () => true });
  await publish({ builds: spec([{ name: "none", tags: "y" }]) });
  const plan = await retention.plan("default/builds");
  expect(plan.totals).toEqual({ kept: 0, deleted: 1, bytes: 0 });
  expect(await retention.apply("default/builds", { plan: plan.id }, "admin")).toMatchObject({ bytes: 0 });
});

test("blobs that are shared come free once, and only when nothing kept holds them", async () => {
  const blobs = { shared: Buffer.alloc(1000, "s"), kept: Buffer.alloc(500, "k"), config: Buffer.from("{}") };
  for (const name of [repository, "team-a/two"]) for (const blob of Object.values(blobs)) await pushBlob(registry.push, name, blob);
  const image = (name: string, tags: string[], layers: Buffer[]) => {
    const described = layers.map((layer) => describe("application/vnd.oci.image.layer.v1.tar", layer));
    const bytes = imageOf(describe(mediaTypes.ociEmpty, blobs.config), described, { annotations: { tags: tags.join() } });
    return pushManifest(registry.push, name, bytes, { tags });
  };
  await image(repository, ["x1"], [blobs.shared]);
  await image(repository, ["x2"], [blobs.shared, blobs.kept]);
  await image("team-a/two", ["x3"], [blobs.shared]);
  await image("team-a/two", ["v1"], [blobs.kept]);
  await publish({ builds: spec([{ name: "releases", tags: "v.*" }]) });
  const plan = await retention.plan("default/builds");
  expect(plan.entries.map(({ tag, bytes }) => [tag, bytes])).toEqual([
    ["x1", 0],
    ["x2", 0],
    ["v1", 0],
    ["x3", 1000],
  ]);
  expect(await retention.apply("default/builds", { plan: plan.id }, "admin")).toMatchObject({ bytes: 1000, kept: [] });
});

test("more images than are asked for at once: each layer comes free, and the one that all share with the last of them", async () => {
  const { digest } = await pushImage(registry.push, repository, ["keep"]);
  await registry.rows(
    `WITH layers AS (
       SELECT n, 'sha256:' || encode(sha256(convert_to('layer ' || n, 'UTF8')), 'hex') AS digest FROM generate_series(0, 5500) n
     ), stored AS (
       INSERT INTO objects (key, size, state, ever_live) SELECT digest, 10, 'live', true FROM layers
     ), blob AS (
       INSERT INTO blobs (digest, size, object_key) SELECT digest, CASE n WHEN 0 THEN 1000 ELSE 10 END, digest FROM layers
     ), link AS (
       INSERT INTO repository_blobs (repository, digest, keep_until) SELECT r.id, digest, now() FROM layers, repositories r
     ), image AS (
       INSERT INTO manifests (repository, digest, media_type, bytes, keep_until)
       SELECT r.id, 'sha256:' || encode(sha256(convert_to('image ' || n, 'UTF8')), 'hex'), $1, '{}', now()
       FROM generate_series(1, 1100) n, repositories r
       RETURNING repository, digest
     ), tag AS (
       INSERT INTO tags (repository, name, digest) SELECT repository, 'x' || row_number() OVER (ORDER BY digest), digest FROM image
     )
     INSERT INTO manifest_blobs (repository, manifest, digest, size, held)
     SELECT image.repository, image.digest, layers.digest, 10, layers.digest
     FROM (SELECT *, row_number() OVER (ORDER BY digest) AS place FROM image) image
     JOIN layers ON layers.n = 0 OR layers.n % 1100 = place % 1100`,
    [mediaTypes.ociManifest],
  );
  await registry.rows(
    `INSERT INTO manifest_blobs (repository, manifest, digest, size)
     SELECT l.repository, $1, l.digest, 10 FROM repository_blobs l JOIN blobs b USING (digest) WHERE b.size = 10 ORDER BY l.digest LIMIT 1`,
    [digest],
  );
  await publish({ builds: spec([{ name: "one", tags: "keep" }]) });
  const plan = await retention.plan("default/builds");
  const bytes = 1000 + 5_500 * 10 - 10;
  expect(plan.totals).toEqual({ kept: 1, deleted: 1_100, bytes });
  expect(plan.entries.filter((entry) => entry.bytes >= 1000)).toHaveLength(1);
  expect(await retention.apply("default/builds", { plan: plan.id }, "admin")).toMatchObject({ bytes, kept: [] });
});

test("more than one batch: two thousand tags of one repository", async () => {
  const { digest } = await pushImage(registry.push, repository, ["keep"]);
  const { digest: other } = await pushImage(registry.push, repository, ["x0"]);
  await registry.rows(
    "INSERT INTO tags (repository, name, digest) SELECT r.id, 'y' || n, $1 FROM repositories r, generate_series(1, 1200) n",
    [digest],
  );
  await registry.rows(
    "INSERT INTO tags (repository, name, digest) SELECT r.id, 'x' || n, $1 FROM repositories r, generate_series(1, 1300) n",
    [other],
  );
  await publish({ builds: spec([{ name: "one", tags: "keep" }]) });
  const plan = await retention.plan("default/builds");
  expect(plan.totals.deleted).toBe(2501);
  registry.statements();
  const applied = await retention.apply("default/builds", { plan: plan.id }, "admin");
  // The repository is read once, not for every batch.
  expect(registry.statements().filter((name) => name === "retention-own-tags")).toHaveLength(1);
  expect(applied).toMatchObject({ kept: [], bytes: 160 });
  expect(applied.deleted).toHaveLength(2501);
  expect(await tagsOf()).toEqual(["keep"]);
});

describeTests("what changes between two batches", () => {
  /** A first batch of tags `x…` and a second one with `z`, the only tag of its image. */
  async function twoBatches(): Promise<{ readonly z: PushedImage; readonly plan: string }> {
    const { digest } = await pushImage(registry.push, repository, ["x0"]);
    const z = await pushImage(registry.push, repository, ["z"]);
    await registry.rows(
      "INSERT INTO tags (repository, name, digest) SELECT r.id, 'x' || n, $1 FROM repositories r, generate_series(1, 1100) n",
      [digest],
    );
    await publish({
      builds: spec([
        { name: "none", tags: "keep-.*" },
        { name: "used", tags: "z", pulledWithin: "1h" },
      ]),
    });
    await age(48);
    return { z, plan: (await retention.plan("default/builds")).id };
  }
  /** Runs `change` after each transaction that has committed, as often as it says. */
  function afterTransactions(change: () => Promise<unknown>, times: number): void {
    const { database } = registry;
    const real = database.transaction.bind(database);
    let left = times;
    database.transaction = async (...given: Parameters<typeof real>) => {
      const result = await real(...given);
      if (left-- > 0) {
        database.transaction = real;
        await change();
        if (left > 0) afterTransactions(change, left);
      }
      return result as never;
    };
  }
  const apply = (plan: string) => retention.apply("default/builds", { plan }, "admin");

  test.each<[string, (z: PushedImage) => Promise<unknown>]>([
    ["a tag that is kept", (z) => pushManifest(registry.push, repository, z.bytes, { tags: ["keep-z"] })],
    [
      "a lease",
      () =>
        registry.rows(
          "UPDATE manifests SET keep_until = now() + interval '1 hour' WHERE digest IN (SELECT digest FROM tags WHERE name = 'z')",
        ),
    ],
    [
      "a pull",
      (z) => registry.rows("INSERT INTO pulls (repository, digest, last_at, count) SELECT id, $1, now(), 1 FROM repositories", [z.digest]),
    ],
    [
      "an index around it",
      (z) => pushManifest(registry.push, repository, indexOf([describe(mediaTypes.ociManifest, z.bytes)]), { tags: ["keep-index"] }),
    ],
    ["the policy", () => publish({ builds: spec([{ name: "z", tags: "z" }]) })],
  ])("%s: the image is not deleted", async (_, change) => {
    const { z, plan } = await twoBatches();
    afterTransactions(() => change(z), 1);
    const applied = await apply(plan);
    expect(applied.deleted.length).toBeGreaterThan(900);
    expect(await registry.pull.manifest(repository, { digest: z.digest }, reader, { head: false })).toMatchObject({ digest: z.digest });
  });

  const heard = (images: readonly string[], more: object = {}) => {
    const report = {
      takenAt: new Date().toISOString(),
      scope: "Cluster" as const,
      complete: true,
      images: images.map((image) => ({ image })),
    };
    return workloads.report("east", { ...report, ...more });
  };

  test.each<[string, (z: PushedImage) => Promise<unknown>]>([
    ["a cluster uses it", ({ digest }) => heard([`registry.example.com/${repository}@${digest}`], { complete: false })],
    ["a cluster falls silent", () => registry.rows("UPDATE workload_reports SET taken_at = taken_at - interval '1 hour'")],
  ])("%s: the image is not deleted", async (_, change) => {
    workloads = new Workloads({ database: registry.database, configuration, clusters: ["east"] });
    retention = new RetentionService({ ...options(), workloads });
    await heard([]);
    const { z, plan } = await twoBatches();
    afterTransactions(() => change(z), 1);
    const applied = await apply(plan);
    expect(applied.deleted.length).toBeGreaterThan(900);
    expect(applied.kept).toContainEqual(expect.objectContaining({ tag: "z", rule: "inUse" }));
    expect(await registry.pull.manifest(repository, { tag: "z" }, reader, { head: false })).toMatchObject({ digest: z.digest });
  });

  test("somebody who pushes all the time stops no prune", async () => {
    const { plan } = await twoBatches();
    let number = 0;
    afterTransactions(() => pushImage(registry.push, repository, [`keep-${number++}`]), 20);
    const applied = await apply(plan);
    expect(applied).toMatchObject({ kept: [] });
    expect(applied.deleted).toHaveLength(1102);
    expect((await tagsOf()).every((tag) => tag.startsWith("keep-"))).toBe(true);
  });
});

test("pushes that race an apply lose nothing: every acknowledged tag resolves", async () => {
  await pushBuilds(20);
  await publish({ builds: spec([{ name: "none", tags: "keep-.*" }]) });
  const plan = await retention.plan("default/builds");
  const acknowledged: string[] = [];
  const refused: unknown[] = [];
  const retagging = Array.from({ length: 20 }, async (_, index) => {
    try {
      const found = await registry.pull.manifest(repository, { tag: `build-${index + 1}` }, pusher, { head: false });
      await pushManifest(registry.push, repository, Buffer.from(found.bytes), { tags: [`keep-${index + 1}`] });
      acknowledged.push(`keep-${index + 1}`);
    } catch (error) {
      refused.push((error as { code?: unknown }).code);
    }
  });
  const [applied] = await Promise.all([retention.apply("default/builds", { plan: plan.id }, "admin"), ...retagging]);
  expect(applied.deleted.length + applied.kept.length).toBe(20);
  // Who came too late saw no image; nobody was told of a broken one.
  expect(refused.filter((code) => code !== "MANIFEST_UNKNOWN")).toEqual([]);
  for (const tag of acknowledged) await registry.pull.manifest(repository, { tag }, reader, { head: false });
  expect(await tagsOf()).toEqual(acknowledged.toSorted());
});

test("of a stored plan nothing is kept of what it keeps", async () => {
  await publish({ plans: spec([{ name: "first", tags: "build-1" }]) });
  await pushBuilds(2);
  await age(1);
  const plan = await retention.plan("default/plans");
  const [stored] = await registry.rows<{ tags: string[] }>(
    "SELECT array_agg(coalesce(entry->>'tag', entry->>'digest')) AS tags FROM plans, jsonb_array_elements(document->'entries') AS entry WHERE id = $1",
    [plan.id],
  );
  expect(plan.entries.map(({ tag, verdict }) => [tag, verdict])).toContainEqual(["build-1", "keep"]);
  expect([deletes(plan), stored?.tags]).toEqual([expect.arrayContaining(["build-2"]), deletes(plan)]);
});

test("plans are kept for 90 days", async () => {
  await publish({ builds: spec([{ name: "all" }]) });
  const plan = await retention.plan("default/builds");
  await registry.rows("UPDATE plans SET created_at = created_at - interval '91 days'");
  await pushBuilds(1);
  const other = await retention.plan("default/builds");
  expect(await registry.collector(longTimes).runOnce()).toMatchObject({ forgotten: 1, failedSteps: 0 });
  expect((await registry.rows<{ id: string }>("SELECT id FROM plans")).map(({ id }) => id)).toEqual([other.id]);
  expect(other.id).not.toBe(plan.id);
});

const evidence = { type: "SPDX" as const, attestation: digestOf("attestation"), predicateType: "https://spdx.dev/Document", platforms: [] };
function ledgerOf(versions: readonly string[]): LedgerDocument {
  const builds = versions.map((version) => ({
    version,
    digest: digestOf(version),
    sourceTag: "latest",
    seen: "2026-11-01T00:00:00Z",
    evidence,
  }));
  return {
    image: "cgr.dev/chainguard/nginx",
    builds,
    tags: Object.fromEntries(builds.map(({ version, digest }) => [version, digest])),
    pinned: {},
    retired: {},
  };
}

describeTests("what clusters use", () => {
  const image = (tag: string) => ({ image: `registry.example.com/${repository}:${tag}` });
  const report = (cluster: string, tags: readonly string[], more: object = {}) =>
    workloads.report(cluster, { takenAt: new Date().toISOString(), scope: "Cluster", complete: true, images: tags.map(image), ...more });
  const builds = spec([{ name: "none", tags: "x" }]);

  beforeEach(async () => {
    workloads = new Workloads({ database: registry.database, configuration, clusters: ["east", "west"] });
    retention = new RetentionService({ ...options(), workloads });
    await pushBuilds(3);
    await publish({ builds });
  });

  test("a cluster that is silent is named, and so is every other; no approval helps", async () => {
    await report("east", []);
    const plan = await retention.plan("default/builds");
    expect(deletes(plan)).toEqual([]);
    expect(plan.blocked).toEqual({
      reason: "WorkloadsUnknown",
      message: "what clusters use is unknown, so everything is kept: cluster west has never reported",
    });
    await expect(retention.apply("default/builds", { plan: plan.id, approve: true }, "admin")).rejects.toMatchObject({
      code: "CONFLICT",
      message: expect.stringContaining("cluster west has never reported"),
    });
  });

  test("a policy that asks one cluster needs no other; one that ignores them needs none, unless another policy asks", async () => {
    await report("east", ["build-1"]);
    await publish({ builds: { ...builds, inUse: { clusters: ["east"] } } });
    expect(deletes(await retention.plan("default/builds"))).toEqual(["build-2", "build-3"]);
    await publish({ builds: { ...builds, inUse: { mode: "Ignore" } } });
    expect(deletes(await retention.plan("default/builds"))).toHaveLength(3);
    await publish({ builds: { ...builds, inUse: { mode: "Ignore" } }, other: { ...builds, action: "Plan", suspend: true } });
    const kept = await retention.plan("default/builds");
    expect(kept.blocked).toBeUndefined();
    expect(kept.entries.map(({ verdict, rule }) => [verdict, rule])).toEqual([1, 2, 3].map(() => ["keep", "default/other: inUse"]));
  });

  test("an apply goes by the reports of its moment: what came into use since the plan stays", async () => {
    await report("east", []);
    await report("west", ["build-1"]);
    const plan = await retention.plan("default/builds");
    expect(deletes(plan)).toEqual(["build-2", "build-3"]);
    await report("east", ["build-2"], { complete: false });
    const applied = await retention.apply("default/builds", { plan: plan.id }, "admin");
    expect(names(applied.deleted)).toEqual(["build-3"]);
    expect(applied.kept).toMatchObject([{ tag: "build-2", rule: "inUse", reason: "in use in cluster east" }]);
    expect(await tagsOf()).toEqual(["build-1", "build-2"]);
  });

  test("a cluster that fell silent since the plan keeps everything", async () => {
    await report("east", []);
    await report("west", []);
    const plan = await retention.plan("default/builds");
    expect(deletes(plan)).toHaveLength(3);
    await registry.rows("UPDATE workload_reports SET taken_at = taken_at - interval '1 hour' WHERE cluster = 'west'");
    const applied = await retention.apply("default/builds", { plan: plan.id }, "admin");
    expect(applied.deleted).toEqual([]);
    expect(applied.kept.map(({ rule, reason }) => [rule, reason])).toEqual(
      [1, 2, 3].map(() => ["inUse", expect.stringContaining("cluster west last reported ")]),
    );
  });

  test("what was pulled since the report stays, by digest and by tag", async () => {
    await report("east", []);
    await report("west", []);
    await registry.pull.manifest(repository, { tag: "build-2" }, reader, { head: false });
    await registry.statistics.flush();
    const planned = await retention.plan("default/builds");
    expect(deletes(planned)).toEqual(["build-1", "build-3"]);
    expect(planned.entries.find(({ tag }) => tag === "build-2")?.reason).toMatch(/^pulled .*, since the last report$/);
  });
});

test("version tags are proposed to retire, once, and never deleted here", async () => {
  const upstream = {
    kind: "Upstream" as const,
    namespace: "default",
    name: "cgr",
    generation: 1,
    revision: "r",
    suspend: false,
    spec: { url: "https://cgr.dev", prefix: "cgr" },
  };
  const versions = spec([{ name: "minors", semver: { newest: 1, per: "Minor" } }], { repositories: { include: ["cgr/**"] } });
  const name = "cgr/chainguard/nginx";
  await publish({ versions }, { resources: [upstream], ledgers: { [name]: ledgerOf(["1.27.1", "1.27.2", "1.27.3", "1.26.9"]) } });
  const plan = await retention.plan("default/versions");
  expect(deletes(plan)).toEqual(["1.27.1", "1.27.2"]);
  expect(plan.entries.every(({ version }) => version)).toBe(true);
  expect(plan.totals.bytes).toBe(0);

  const { database } = registry;
  const run = await database.transaction((transaction) =>
    insertRun(transaction, { kind: "prune", policy: "default/versions", trigger: "manual", generation: 1, silence: 60 }),
  );
  const id = "started" in run ? run.started.id : "";
  const applied = await retention.apply("default/versions", { plan: plan.id, run: id }, "run:1");
  expect(applied).toMatchObject({ deleted: [], kept: [], bytes: 0, proposals: [expect.any(String)] });
  expect((await retention.apply("default/versions", { plan: plan.id, run: id }, "run:1")).proposals).toEqual(applied.proposals);
  expect(await waitingProposals(database)).toMatchObject([
    {
      id: applied.proposals[0],
      policy: "default/versions",
      repository: name,
      body: {
        kind: "retire",
        run: id,
        repository: name,
        tags: [
          {
            tag: "1.27.1",
            digest: digestOf("1.27.1"),
            reason: expect.stringContaining("policy default/versions: no rule keeps it (minors: number 3 of 3 versions of 1.27"),
          },
          { tag: "1.27.2", digest: digestOf("1.27.2") },
        ],
      },
    },
  ]);
  expect(await registry.rows("SELECT tag FROM ledger")).toHaveLength(4);

  // The record retires one of them: then that one is gone already.
  await publish(
    { versions },
    { resources: [upstream], ledgers: { [name]: ledgerOf(["1.27.2", "1.27.3", "1.26.9"]) }, settled: [{ id: applied.proposals[0] ?? "" }] },
  );
  const late = await retention.apply("default/versions", { plan: plan.id }, "admin");
  expect(late.kept).toMatchObject([{ tag: "1.27.1", rule: "changed", reason: "the version is not published any more" }]);
  expect(late.proposals).toHaveLength(1);
});
