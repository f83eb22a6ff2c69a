import { expect, test } from "vitest";

import { digestOf, type Digest } from "../digest.ts";
import type { BlobFact, ClusterFacts, ManifestFact, PolicySource, RepositoryFacts, TagFact } from "./facts.ts";
import { createPlanner, type RetentionPlan } from "./plan.ts";
import type { PlannedEntry } from "./planned-entry.ts";

const hour = 3_600_000;
const day = 24 * hour;
const now = Date.UTC(2026, 10, 21, 12);
const longAgo = now - 400 * day;

const digest = (name: string): Digest => digestOf(name);
type Stored = ManifestFact & { readonly blobs?: readonly BlobFact[] };
const manifest = (name: string, facts: Partial<Stored> = {}): Stored => ({
  digest: digest(name),
  pushedAt: longAgo,
  keepUntil: longAgo,
  children: [],
  blobs: [{ digest: digest(`blob of ${name}`), size: 100 }],
  ...facts,
});
const tag = (name: string, of: string, age = 365 * day): TagFact => ({ name, digest: digest(of), pushedAt: now - age });
const own = (name: string, tags: readonly TagFact[], manifests?: readonly ManifestFact[]): RepositoryFacts => ({
  name,
  kind: "own",
  tags,
  manifests: manifests ?? tags.map(({ digest }) => ({ ...manifest("", { blobs: [] }), digest })),
  departed: new Set(),
});
const policy = (keep: readonly object[], more: object = {}) => ({
  repositories: { include: ["team-a/**"], exclude: [] },
  keep,
  limits: { maxDeletePercent: 100, minTags: 0 },
  ...more,
});

interface Case {
  readonly repositories: readonly RepositoryFacts[];
  readonly specs: Readonly<Record<string, unknown>>;
  readonly clusters?: readonly ClusterFacts[];
  readonly counted?: number;
  /** Blobs that other repositories hold. */
  readonly elsewhere?: ReadonlySet<Digest>;
}

function plan({ repositories, specs, clusters = [], counted, elsewhere = new Set() }: Case): RetentionPlan {
  const policies: PolicySource[] = Object.entries(specs).map(([key, spec]) => ({ key, spec }));
  const planner = createPlanner({ policy: policies[0]?.key ?? "", policies, clusters, now });
  const judged = repositories
    .filter(({ name }) => planner.selects(name))
    .map((repository) => planner.judge(counted === undefined ? repository : { ...repository, pullsCountedSince: counted }));
  const blobsOf = (digest: Digest) =>
    (repositories.flatMap(({ manifests }) => manifests) as Stored[]).find((stored) => stored.digest === digest)?.blobs ?? [];
  const kept = judged.flatMap(({ repository, condemned }) => repository.manifests.filter(({ digest }) => !condemned.has(digest)));
  const held = new Set([...elsewhere, ...kept.flatMap(({ digest }) => blobsOf(digest).map((blob) => blob.digest))]);
  return planner.describe(judged, (_, digest) => blobsOf(digest).filter((blob) => !held.has(blob.digest)));
}
const nameOf = ({ tag, digest }: PlannedEntry) => tag ?? digest;
const deleted = (plan: RetentionPlan) => plan.entries.filter(({ verdict }) => verdict === "delete").map(nameOf);
const entry = (plan: RetentionPlan, name: string) => plan.entries.find((entry) => nameOf(entry) === name);

test("a tag is kept if any rule of any policy that selects the repository keeps it, and the entry names both", () => {
  const repositories = [own("team-a/app", [tag("v1", "a"), tag("pr-1", "b", 3 * day), tag("pr-2", "c", 2 * day), tag("pr-3", "d", day)])];
  const planned = plan({
    repositories,
    specs: {
      "default/a": policy([{ name: "reviews", tags: "^pr-.*", mostRecentlyPushed: 2 }]),
      "team/b": policy([{ name: "releases", tags: "v.*" }], { action: "Plan" }),
    },
  });
  expect(deleted(planned)).toEqual(["pr-1"]);
  expect(entry(planned, "v1")).toMatchObject({ verdict: "keep", rule: "team/b: releases", reason: "it keeps all of them" });
  expect(entry(planned, "pr-3")).toMatchObject({
    rule: "reviews",
    reason: "number 1 of 3 by push (2026-11-20 12:00 UTC), 2 are kept",
  });
  expect(entry(planned, "pr-1")).toMatchObject({
    rule: "none",
    reason: "no rule keeps it (reviews: number 3 of 3 by push (2026-11-18 12:00 UTC), 2 are kept; team/b: releases: does not match v.*)",
  });
  expect(planned.totals).toEqual({ kept: 3, deleted: 1, bytes: 0 });
});

test("a repository that the policy does not select is not in its plan", () => {
  const planned = plan({
    repositories: [own("team-b/app", [tag("x", "a")]), own("team-a/x/y", [tag("z", "a")]), own("team-a/keep", [tag("z", "a")])],
    specs: { "d/p": policy([{ name: "v", tags: "v.*" }], { repositories: { include: ["team-a/**"], exclude: ["team-a/keep"] } }) },
  });
  expect(planned.entries.map(({ repository }) => repository)).toEqual(["team-a/x/y"]);
});

test("patterns are RE2 and match the whole tag", () => {
  const planned = plan({
    repositories: [own("team-a/app", [tag("v1", "a"), tag("dev1", "b"), tag("xv1x", "c")])],
    specs: { "d/p": policy([{ name: "r", tags: "v1|d" }]) },
  });
  expect(deleted(planned)).toEqual(["dev1", "xv1x"]);
});

test.each([
  ["lookaround", [{ name: "r", tags: "(?=v)" }], /tags is not an RE2 expression/],
  ["a criterion of a newer version", [{ name: "r", attestedBy: "x" }], /has attestedBy, which this version does not know/],
  ["two criteria", [{ name: "r", mostRecentlyPushed: 1, pushedWithin: "1h" }], /more than one criterion/],
  ["a bad duration", [{ name: "r", pushedWithin: "30d" }], /not a duration/],
  ["a bad range", [{ name: "r", semver: { range: "newest", newest: 1 } }], /semver\.range/],
  ["a bad number", [{ name: "r", mostRecentlyPushed: "five" }], /whole number/],
])("a policy that cannot be evaluated (%s) keeps everything it selects, also against others", (_, keep, message) => {
  const broken = policy(keep, { repositories: { include: ["team-a/app"], exclude: [] } });
  const repositories = [own("team-a/app", [tag("x", "a")]), own("team-a/other", [tag("y", "a")])];
  const other = plan({ repositories, specs: { "d/good": policy([{ name: "none", tags: "v.*" }]), "d/broken": broken } });
  expect(deleted(other)).toEqual(["y"]);
  expect(entry(other, "x")).toMatchObject({ rule: "d/broken: invalid", reason: expect.stringMatching(message) });
  const itself = plan({ repositories, specs: { "d/broken": broken } });
  expect(deleted(itself)).toEqual([]);
  expect(itself.blocked).toMatchObject({ reason: "PolicyInvalid", message: expect.stringMatching(message) });
});

test("a policy whose selection cannot be read selects everything", () => {
  const specs = {
    "d/p": policy([{ name: "none", tags: "v.*" }]),
    "d/broken": policy([{ name: "all" }], { repositories: { include: "team-b" } }),
  };
  expect(deleted(plan({ repositories: [own("team-a/app", [tag("x", "a")])], specs }))).toEqual([]);
});

test("pushedWithin", () => {
  const planned = plan({
    repositories: [own("team-a/app", [tag("old", "a", 31 * day), tag("new", "b", 29 * day)])],
    specs: { "d/p": policy([{ name: "fresh", pushedWithin: "720h" }]) },
  });
  expect(deleted(planned)).toEqual(["old"]);
  expect(entry(planned, "old")?.reason).toContain("pushed 2026-10-21 12:00 UTC, longer ago than 720h");
});

test("deleting one tag never deletes another tag of the digest: the manifest goes with its last tag", () => {
  const manifests = [manifest("a")];
  const both = [tag("v1", "a"), tag("pr-1", "a")];
  const one = plan({ repositories: [own("team-a/app", both, manifests)], specs: { "d/p": policy([{ name: "v", tags: "v.*" }]) } });
  expect(deleted(one)).toEqual(["pr-1"]);
  expect(one.totals.bytes).toBe(0);
  const none = plan({ repositories: [own("team-a/app", both, manifests)], specs: { "d/p": policy([{ name: "x", tags: "x" }]) } });
  expect(none.entries.map(({ tag, bytes }) => [tag, bytes])).toEqual([
    ["pr-1", 0],
    ["v1", 100],
  ]);
});

test("referrers follow their digest, by subject and by tag, and no rule counts their tags", () => {
  const signature = `sha256-${digest("a").slice(7)}.sig`;
  const fallback = `sha256-${digest("a").slice(7)}`;
  const manifests = [manifest("a"), manifest("b"), manifest("sig"), manifest("list"), manifest("sbom", { subject: digest("a") })];
  const tags = [tag("v1", "a", 2 * day), tag("v2", "b", 3 * day), tag(signature, "sig", hour), tag(fallback, "list", hour)];
  const repositories = [own("team-a/app", tags, manifests)];
  const kept = plan({ repositories, specs: { "d/p": policy([{ name: "newest", mostRecentlyPushed: 1 }]) } });
  expect(deleted(kept)).toEqual(["v2"]); // the two referrer tags are newer and do not push v1 out
  expect(entry(kept, signature)).toMatchObject({ rule: "follows", reason: expect.stringContaining("which is kept") });
  const gone = plan({ repositories, specs: { "d/p": policy([{ name: "v2", tags: "v2" }]) } });
  expect(deleted(gone)).toEqual(["v1", digest("sbom"), fallback, signature]);
  expect(gone.totals.bytes).toBe(400);
});

test("a referrer goes because its subject was deleted, never because it is missing", () => {
  const waiting = `sha256-${digest("later").slice(7)}.sig`;
  const orphaned = `sha256-${digest("deleted").slice(7)}.att`;
  const repository: RepositoryFacts = {
    ...own(
      "team-a/app",
      [tag(waiting, "s1"), tag(orphaned, "s2")],
      [manifest("s1"), manifest("s2"), manifest("early", { subject: digest("later") })],
    ),
    departed: new Set([digest("deleted")]),
  };
  const planned = plan({ repositories: [repository], specs: { "d/p": policy([{ name: "v", tags: "v.*" }]) } });
  expect(deleted(planned)).toEqual([orphaned]);
  expect(entry(planned, digest("early"))?.reason).toContain("referrers may be pushed first");
});

test("children of a kept index stay, and go with the last index that names them", () => {
  const children = [digest("c1"), digest("c2")];
  const manifests = [
    manifest("i1", { children }),
    manifest("i2", { children: [digest("c2"), digest("absent")] }),
    manifest("c1"),
    manifest("c2"),
  ];
  const tags = [tag("old", "i1"), tag("v2", "i2"), tag("part", "c2")];
  const planned = plan({ repositories: [own("team-a/app", tags, manifests)], specs: { "d/p": policy([{ name: "v", tags: "v.*" }]) } });
  expect(deleted(planned)).toEqual(["old", "part", digest("c1")]);
  expect(entry(planned, "old")?.bytes).toBe(200); // the index and c1; c2 stays with v2
  expect(entry(planned, digest("c1"))).toMatchObject({
    rule: "follows",
    reason: expect.stringMatching(/^child of sha256:.*, which goes$/),
    bytes: 0,
  });
});

test("untagged: the longest keepFor of all policies, from untagged_since, never under a lease", () => {
  const manifests = [
    manifest("old", { untaggedSince: now - 50 * hour }),
    manifest("young", { untaggedSince: now - 40 * hour }),
    manifest("leased", { untaggedSince: now - 500 * hour, keepUntil: now + hour }),
    manifest("unknown"),
  ];
  const specs = {
    "d/p": policy([{ name: "v", tags: "v.*" }]),
    "d/longer": policy([{ name: "v", tags: "v.*" }], { untagged: { keepFor: "48h" } }),
  };
  const planned = plan({ repositories: [own("team-a/app", [], manifests)], specs });
  expect(deleted(planned)).toEqual([digest("old")]);
  expect(entry(planned, digest("old"))?.reason).toBe("untagged since 2026-11-19 10:00 UTC, longer ago than 48h");
  expect(entry(planned, digest("young"))).toMatchObject({ rule: "untagged" });
  expect(entry(planned, digest("leased"))).toMatchObject({ rule: "lease" });
});

test("a leased manifest stays when its tag goes, with its children", () => {
  const manifests = [manifest("i", { children: [digest("c")], keepUntil: now + hour }), manifest("c")];
  const planned = plan({
    repositories: [own("team-a/app", [tag("pr-1", "i")], manifests)],
    specs: { "d/p": policy([{ name: "v", tags: "v.*" }]) },
  });
  expect(deleted(planned)).toEqual(["pr-1"]);
  expect(planned.totals.bytes).toBe(0);
});

test("shared blobs come free once, and only when nothing kept or elsewhere holds them", () => {
  const shared = { digest: digest("shared"), size: 1000 };
  const elsewhere = { digest: digest("elsewhere"), size: 5000 };
  const kept = { digest: digest("kept"), size: 7000 };
  const repositories = [
    own("team-a/one", [tag("x", "a")], [manifest("a", { blobs: [shared, elsewhere, kept] })]),
    own("team-a/two", [tag("x", "b"), tag("v1", "c")], [manifest("b", { blobs: [shared] }), manifest("c", { blobs: [kept] })]),
  ];
  const planned = plan({
    repositories,
    specs: { "d/p": policy([{ name: "v", tags: "v.*" }]) },
    elsewhere: new Set([elsewhere.digest]),
  });
  expect(planned.entries.map(({ repository, tag, bytes }) => [repository, tag, bytes])).toEqual([
    ["team-a/one", "x", 0],
    ["team-a/two", "v1", 0],
    ["team-a/two", "x", 1000],
  ]);
  expect(planned.totals.bytes).toBe(1000);
});

test("pulledWithin deletes nothing before pulls were counted, and the image was here, for that long", () => {
  const manifests = [manifest("used", { pulledAt: now - day }), manifest("unused"), manifest("restored", { pushedAt: now - day })];
  const repositories = [own("team-a/app", [tag("a", "used"), tag("b", "unused"), tag("c", "restored")], manifests)];
  const specs = { "d/p": policy([{ name: "used", pulledWithin: "720h" }]) };
  expect(deleted(plan({ repositories, specs }))).toEqual([]);
  const young = plan({ repositories, specs, counted: now - 29 * day });
  expect(deleted(young)).toEqual([]);
  expect(entry(young, "b")?.reason).toBe("pulls are counted since 2026-10-23 12:00 UTC only, not yet for 720h");
  expect(young.notes).toContain("pulls of own repositories are counted since 2026-10-23 12:00 UTC");
  expect(deleted(plan({ repositories, specs, counted: now - 31 * day }))).toEqual(["b"]);
});

test("a pull by digest counts for the index, its children and their tags", () => {
  const manifests = [
    manifest("index", { children: [digest("amd64"), digest("arm64")] }),
    manifest("amd64", { pulledAt: now - day }),
    manifest("arm64"),
    manifest("other"),
  ];
  const tags = [tag("a", "index"), tag("b", "amd64"), tag("c", "arm64"), tag("d", "other")];
  const specs = { "d/p": policy([{ name: "used", tags: ".*", pulledWithin: "720h" }]) };
  const counted = longAgo;
  expect(deleted(plan({ repositories: [own("team-a/app", tags, manifests)], specs, counted }))).toEqual(["c", "d"]);
});

test("pulledWithin without tags keeps pinned digests that have no tag", () => {
  const manifests = [manifest("pinned", { untaggedSince: longAgo, pulledAt: now - day }), manifest("gone", { untaggedSince: longAgo })];
  const specs = (tags: object) => ({ "d/p": policy([{ name: "used", pulledWithin: "720h", ...tags }]) });
  const counted = longAgo;
  const repositories = [own("team-a/app", [], manifests)];
  expect(deleted(plan({ repositories, specs: specs({}), counted }))).toEqual([digest("gone")]);
  expect(deleted(plan({ repositories, specs: specs({ tags: "v.*" }), counted }))).toHaveLength(2);
});

test("mostRecentlyPulled keeps everything until 30 days of pulls are known; an image that just arrived ranks by its arrival", () => {
  const manifests = [
    manifest("a", { pulledAt: now - 9 * day }),
    manifest("b", { pulledAt: now - 5 * day }),
    manifest("c", { pushedAt: now - day }),
  ];
  const repositories = [own("team-a/app", [tag("a", "a"), tag("b", "b"), tag("c", "c", day)], manifests)];
  const specs = { "d/p": policy([{ name: "popular", mostRecentlyPulled: 2 }]) };
  expect(deleted(plan({ repositories, specs, counted: now - 29 * day }))).toEqual([]);
  expect(deleted(plan({ repositories, specs, counted: now - 31 * day }))).toEqual(["a"]);
});

test("semver keeps the newest of each minor in version order; other tags are left to other rules", () => {
  const names = ["v1.9.2", "v1.9.10", "v1.9.9", "1.10.0-rc.1", "1.10.0", "2.0.0-r1", "2.0.0-r3", "2.0.0-r2", "1.9", "latest"];
  const repositories = [
    own(
      "team-a/app",
      names.map((name) => tag(name, name)),
    ),
  ];
  const keep = (semver: object) => deleted(plan({ repositories, specs: { "d/p": policy([{ name: "minors", semver }]) } }));
  expect(keep({ newest: 2, per: "Minor", range: ">=1.0" })).toEqual(["1.10.0-rc.1", "1.9", "2.0.0-r1", "latest", "v1.9.2"]);
  expect(keep({ newest: 1, per: "Major" })).toEqual([
    "1.10.0-rc.1",
    "1.9",
    "2.0.0-r1",
    "2.0.0-r2",
    "latest",
    "v1.9.10",
    "v1.9.2",
    "v1.9.9",
  ]);
});

test("version tags of a proxied repository are judged alone: their manifests are the cache's", () => {
  const versions: RepositoryFacts = { ...own("team-a/nginx", [tag("1.27.1", "a", 90 * day), tag("1.27.2", "b", day)]), kind: "proxied" };
  const planned = plan({ repositories: [versions], specs: { "d/p": policy([{ name: "newest", mostRecentlyPushed: 1 }]) } });
  expect(planned.entries.map(({ tag, verdict, version, bytes }) => [tag, verdict, version, bytes])).toEqual([
    ["1.27.1", "delete", true, 0],
    ["1.27.2", "keep", true, 0],
  ]);
  expect(planned.notes.join()).toContain("proposed to retire");
});

const reportedAt = now - 600_000;
const noImages: ClusterFacts["images"] = { digests: new Map(), tags: new Map() };
const cluster = (facts: Partial<ClusterFacts>): ClusterFacts => ({
  name: "prod",
  reportedAt,
  scope: "Cluster",
  images: noImages,
  ...facts,
});
const digestsInUse = (...seen: readonly (readonly [string, number])[]): ClusterFacts["images"] => {
  return { digests: new Map(seen.map(([name, at]) => [digest(name), at])), tags: new Map() };
};

test("inUse asks nothing when no cluster is configured, and the plan says so", () => {
  const specs = { "d/p": policy([{ name: "v", tags: "v.*" }]) };
  const planned = plan({ repositories: [own("team-a/app", [tag("x", "a")])], specs });
  expect(deleted(planned)).toEqual(["x"]);
  expect(planned.notes).toEqual(["inUse asks nothing: no cluster is configured"]);
  const ignoring = plan({ repositories: [], specs: { "d/p": policy([{ name: "v" }], { inUse: { mode: "Ignore" } }) } });
  expect(ignoring.notes).toEqual(["the policy selects no repository that has anything to judge"]);
});

test.each([
  ["silent", [cluster({ reportedAt: now - hour })], {}, "cluster prod last reported 2026-11-21 11:00 UTC"],
  ["never heard of", [{ name: "prod", scope: "Cluster" as const, images: noImages }], {}, "cluster prod has never reported"],
  [
    "silent for a reason",
    [cluster({ reportedAt: now - 2 * hour, problem: "cronjobs of the whole cluster: forbidden" })],
    {},
    "cluster prod last reported 2026-11-21 10:00 UTC (its reporter says: cronjobs of the whole cluster: forbidden)",
  ],
  [
    "never heard of as a whole",
    [{ name: "prod", scope: "Cluster" as const, problem: "pods: forbidden", images: noImages }],
    {},
    "cluster prod has never reported the whole of what it uses (its reporter says: pods: forbidden)",
  ],
  ["partial", [cluster({ scope: ["team-a"] })], {}, "the report of cluster prod does not cover the whole cluster"],
  ["not configured", [], { clusters: ["prod"] }, "cluster prod is not configured"],
])("inUse fails closed: a cluster that is %s stops every deletion", (_, clusters, inUse, message) => {
  const specs = {
    "d/p": policy([{ name: "v", tags: "v.*" }], { inUse }),
    "d/other": policy([{ name: "v", tags: "v.*" }], { inUse: { mode: "Ignore" } }),
  };
  const repositories = [own("team-a/app", [tag("x", "a")])];
  const planned = plan({ repositories, specs, clusters });
  expect(deleted(planned)).toEqual([]);
  expect(planned.blocked).toEqual({
    reason: "WorkloadsUnknown",
    message: `what clusters use is unknown, so everything is kept: ${message}`,
  });
});

test("inUse keeps what a cluster uses, for keepFor after it was last seen, and what was pulled since the report", () => {
  const images = digestsInUse(["child", now - hour], ["earlier", now - 73 * hour]);
  const manifests = [
    manifest("index", { children: [digest("child")] }),
    manifest("child"),
    manifest("earlier"),
    manifest("pulled", { pulledAt: now - 60_000 }),
  ];
  const tags = [tag("a", "index"), tag("b", "earlier"), tag("c", "pulled")];
  const planned = plan({
    repositories: [own("team-a/app", tags, manifests)],
    specs: { "d/p": policy([{ name: "v", tags: "v.*" }]) },
    clusters: [cluster({ images })],
  });
  expect(deleted(planned)).toEqual(["b"]);
  expect(entry(planned, "a")).toMatchObject({ rule: "inUse", reason: "in use in cluster prod, last seen 2026-11-21 11:00 UTC" });
});

test("what the last report has is in use however short keepFor is, and the words of that do not change with the next report", () => {
  const specs = { "d/p": policy([{ name: "v", tags: "v.*" }], { inUse: { keepFor: "0s" } }) };
  const repositories = [own("team-a/app", [tag("a", "a"), tag("b", "b"), tag("c", "c")])];
  const planned = (at: number) =>
    plan({ repositories, specs, clusters: [cluster({ reportedAt: at, images: digestsInUse(["a", at], ["b", at - 1], ["c", at + 1]) })] });
  expect(deleted(planned(now - 3 * 600_000))).toEqual(["b"]);
  expect(entry(planned(now - 600_000), "a")).toMatchObject({ rule: "inUse", reason: "in use in cluster prod" });
  expect(planned(now - 600_000)).toEqual(planned(now - 3 * 600_000));
});

test("a tag that a cluster names is in use, in its own repository alone, with the image it points at and all tags of that", () => {
  const images = { digests: new Map(), tags: new Map([["team-a/app", new Map([["pr-1", reportedAt]])]]) };
  const tags = [tag("pr-1", "a"), tag("same", "a"), tag("pr-2", "b")];
  const repositories = [own("team-a/app", tags), own("team-a/other", tags)];
  const planned = plan({ repositories, specs: { "d/p": policy([{ name: "v", tags: "v.*" }]) }, clusters: [cluster({ images })] });
  expect(planned.entries.filter(({ verdict }) => verdict === "keep").map(({ repository, tag }) => `${repository}:${tag}`)).toEqual([
    "team-a/app:pr-1",
    "team-a/app:same",
  ]);
});

test("a referrer tag that a cluster names stays, although what it belongs to was deleted; so does one of an image in use", () => {
  const orphan = `sha256-${digest("deleted").slice(7)}.sig`;
  const images = { digests: new Map([[digest("b"), reportedAt]]), tags: new Map([["team-a/app", new Map([[orphan, reportedAt]])]]) };
  const other = `sha256-${digest("deleted").slice(7)}.att`;
  const repository = { ...own("team-a/app", [tag(orphan, "a"), tag(other, "b")]), departed: new Set([digest("deleted")]) };
  const specs = { "d/p": policy([{ name: "v", tags: "v.*" }], { untagged: { keepFor: "0s" } }) };
  const planned = plan({ repositories: [repository], specs, clusters: [cluster({ images })] });
  expect(deleted(planned)).toEqual([]);
  expect(entry(planned, orphan)).toMatchObject({ rule: "follows", reason: "in use in cluster prod" });
  expect(deleted(plan({ repositories: [repository], specs, clusters: [cluster({})] }))).toEqual([other, orphan].toSorted());
});

test("a version tag that a cluster runs is not retired", () => {
  const versions: RepositoryFacts = {
    ...own("team-a/nginx", [tag("1.27.1", "a"), tag("1.27.2", "b"), tag("1.27.3", "c")]),
    kind: "proxied",
  };
  const images = { digests: new Map([[digest("a"), reportedAt]]), tags: new Map([["team-a/nginx", new Map([["1.27.2", reportedAt]])]]) };
  const planned = plan({ repositories: [versions], specs: { "d/p": policy([{ name: "x", tags: "x" }]) }, clusters: [cluster({ images })] });
  expect(deleted(planned)).toEqual(["1.27.3"]);
});

test("pulls count as since the report from five minutes before it: clocks differ", () => {
  const manifests = [manifest("a", { pulledAt: reportedAt - 299_000 }), manifest("b", { pulledAt: reportedAt - 301_000 })];
  const repositories = [own("team-a/app", [tag("a", "a"), tag("b", "b")], manifests)];
  const planned = plan({ repositories, specs: { "d/p": policy([{ name: "v", tags: "v.*" }]) }, clusters: [cluster({})] });
  expect(deleted(planned)).toEqual(["b"]);
});

test("a report of namespaces is enough for a policy whose tenant may see no others", () => {
  const spec = policy([{ name: "v", tags: "v.*" }]);
  const planned = (scope: readonly string[], more: readonly PolicySource[] = []) => {
    const tenant = { key: "team-a/p", spec, workloads: ["team-a", "team-a-prod"] };
    const planner = createPlanner({ policy: "team-a/p", policies: [tenant, ...more], clusters: [cluster({ scope })], now });
    return planner.describe([planner.judge(own("team-a/app", [tag("x", "a")]))], () => []);
  };
  expect(deleted(planned(["team-a-prod", "team-a", "team-b"]))).toEqual(["x"]);
  expect(planned(["team-a", "team-b"])).toMatchObject({
    totals: { deleted: 0 },
    blocked: {
      reason: "WorkloadsUnknown",
      message: "what clusters use is unknown, so everything is kept: the report of cluster prod does not cover namespace team-a-prod",
    },
  });
  // An administrators' policy over the same repository may see all of the cluster, and keeps.
  expect(deleted(planned(["team-a-prod", "team-a"], [{ key: "d/all", spec }]))).toEqual([]);
});

test("limits stop a plan that deletes too much, and count only from minTags on", () => {
  const tags = ["a", "b", "c", "d"].map((name) => tag(name, name));
  const specs = (limits: object) => ({ "d/p": policy([{ name: "some", tags: "a|b" }], { limits }) });
  const repositories = [own("team-a/app", tags)];
  expect(plan({ repositories, specs: specs({ maxDeletePercent: 49, minTags: 4 }) }).blocked).toEqual({
    reason: "LimitExceeded",
    message: "it would delete 2 of 4 tags (50 %), and limits.maxDeletePercent is 49: approve exactly this plan, or change the policy",
  });
  expect(plan({ repositories, specs: specs({ maxDeletePercent: 50, minTags: 4 }) }).blocked).toBeUndefined();
  expect(plan({ repositories, specs: specs({ maxDeletePercent: 1, minTags: 5 }) }).blocked).toBeUndefined();
  expect(plan({ repositories, specs: specs({}) }).blocked).toBeUndefined(); // 30 % counts from 10 tags on
});

test("what the namespace was not granted is not selected", () => {
  const spec = policy([{ name: "v", tags: "v" }], { repositories: { include: ["**"] } });
  const policies = [{ key: "team-b/p", spec, granted: (name: string) => name.startsWith("team-b/") }];
  const planner = createPlanner({ policy: "team-b/p", policies, clusters: [], now });
  expect(["team-a/app", "team-b/app"].filter(planner.selects)).toEqual(["team-b/app"]);
  // Neither do its keep rules reach there.
  const other = createPlanner({
    policy: "d/p",
    policies: [...policies, { key: "d/p", spec: policy([{ name: "x", tags: "x" }]) }],
    clusters: [],
    now,
  });
  expect(other.judge(own("team-a/app", [tag("v", "a")])).tags.get("v")).toMatchObject({ keep: false });
});
