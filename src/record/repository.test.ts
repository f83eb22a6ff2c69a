// Real git in a folder of its own: what is committed, what is remembered, what a person's commits mean.

import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync, existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";

import { gitAsPerson } from "../../test/support/persons-git.ts";
import { createLogger } from "../observability/logger.ts";
import { specDigest } from "../validation/canonical.ts";
import { validateResource } from "../validation/validate-resource.ts";
import { planCommit, removalCommit, resourceCommit, versionsCommit } from "./messages.ts";
import { confirm, findCommit } from "./confirm.ts";
import { openRecord, type GitRecord } from "./repository.ts";

const author = { name: "Wharfinger", email: "wharfinger@localhost" };
const key = { kind: "Upstream", namespace: "default", name: "hub" } as const;
const path = "upstreams/default/hub.yaml";

let folder: string;
let record: GitRecord;

beforeEach(async () => {
  folder = join(mkdtempSync(join(tmpdir(), "wharfinger-record-")), "record");
  record = await open();
});

afterEach(async () => {
  await record.close();
  rmSync(join(folder, ".."), { recursive: true, force: true });
});

const open = () => openRecord({ folder, author, logger: createLogger({ level: "silent" }) });

const git = (...args: string[]) => gitAsPerson(folder, ...args);

function spec(fields: object): unknown {
  const verdict = validateResource({ ...key, spec: { url: "https://registry-1.docker.io", prefix: "hub", ...fields } });
  if (verdict.problems !== undefined) throw new Error(JSON.stringify(verdict.problems));
  return verdict.spec;
}

async function commitSpec(generation: number, fields: object): Promise<void> {
  const effective = spec(fields);
  const before = record.view.resources.get("Upstream/default/hub");
  const change = { key, generation, spec: effective, specDigest: specDigest("Upstream", effective), before };
  await record.commit([resourceCommit(change, { installation: record.installation, appliedBy: "folder" })]);
}

test("a new record begins with one commit and a clean work tree", () => {
  expect(git("log", "--format=%s")).toBe("record: begins");
  expect(git("status", "--porcelain")).toBe("");
  expect(readFileSync(join(folder, ".sourceignore"), "utf8")).toContain("/**");
});

test("a resource is one file and one commit, with the memory in its trailers", async () => {
  await commitSpec(1, {});
  await commitSpec(2, { cache: { tagTTL: "1m" } });
  expect(git("status", "--porcelain")).toBe("");
  expect(git("log", "-1", "--format=%B")).toBe(
    `upstream default/hub: generation 2\n\n* cache.tagTTL: 5m → 1m\n\nResource: Upstream/default/hub\nGeneration: 2\nSpec-Digest: ${specDigest("Upstream", spec({ cache: { tagTTL: "1m" } }))}\nInstallation: ${record.installation}\nApplied-By: folder`,
  );
  const file = record.view.resources.get("Upstream/default/hub");
  expect(file?.spec).toEqual(spec({ cache: { tagTTL: "1m" } }));
  expect(record.history.memoryOf(key)).toMatchObject({ generation: 2, installation: record.installation });
  expect(readFileSync(join(folder, path), "utf8")).toMatch(
    /^apiVersion: record.wharfinger.dev\/v1\nkind: Upstream\nmetadata:\n {2}name: hub\n {2}namespace: default\nspec:\n/,
  );
});

test("no value of a resource passes for what the operator remembers", async () => {
  const victim = { kind: "AccessPolicy", namespace: "default", name: "admins" } as const;
  const forged = `x\n\nResource: AccessPolicy/default/admins\nSpec-Digest: none\nInstallation: i\nRun: 1`;
  // Below this line of `git commit --verbose` git itself looks for no trailers.
  const cut = "# ------------------------ >8 ------------------------";
  const own = { kind: "AccessPolicy", namespace: "team-a", name: "tags" } as const;
  const values = ["^v", forged, `\n${cut}\n`];
  for (const [index, protectedTags] of values.entries()) {
    const before = { spec: { protectedTags: values[index - 1] }, bytes: undefined };
    const change = { key: own, generation: index + 1, spec: { protectedTags }, specDigest: `digest-${index}`, before };
    await record.commit([resourceCommit(change, { installation: record.installation, appliedBy: "folder" })]);
  }
  const strangers = [`* a: b`, forged, cut, `; ------------------------ >8 ------------------------`].join("\n");
  const committer = { installation: record.installation, appliedBy: "folder" };
  await record.commit([planCommit("team-a/plan", { run: "r", subject: "1 deleted", body: strangers, content: "a: b\n", committer })]);
  expect(record.history.memoryOf(victim)).toBeUndefined();
  expect(record.history.memoryOf(own)).toMatchObject({ generation: 3, specDigest: "digest-2", installation: record.installation });
  expect([record.history.tellsOf("1"), record.history.lastRun]).toEqual([false, "r"]);
  expect(git("log", "--format=%B", "--grep", "team-a/tags: generation 2")).toContain('* protectedTags: ^v → "x\\n\\nResource');
});

test("a revert changes what is served and leaves the memory, also for a new process", async () => {
  await commitSpec(1, {});
  await commitSpec(2, { cache: { tagTTL: "1m" } });
  git("revert", "--no-edit", "HEAD");
  await record.refresh();
  const check = (): void => {
    expect(record.view.resources.get("Upstream/default/hub")?.spec).toEqual(spec({}));
    expect(record.view.resources.get("Upstream/default/hub")?.revision).toMatchObject({
      author: { name: "Jane Doe" },
      installation: undefined,
    });
    expect(record.history.memoryOf(key)?.generation).toBe(2);
  };
  check();
  await record.close();
  record = await open();
  check();
});

test("a cherry-pick of an operator's commit is a person's commit and no memory", async () => {
  await commitSpec(1, {});
  await commitSpec(2, { cache: { tagTTL: "1m" } });
  await commitSpec(3, { cache: { tagTTL: "2m" } });
  git("cherry-pick", "--strategy-option=theirs", "HEAD~1");
  await record.refresh();
  expect(record.view.resources.get("Upstream/default/hub")?.spec).toEqual(spec({ cache: { tagTTL: "1m" } }));
  expect(record.view.resources.get("Upstream/default/hub")?.revision.installation).toBeUndefined();
  expect(record.history.memoryOf(key)?.generation).toBe(3);
});

test.each([
  ["unknown value", "insecure: maybe", "spec.insecure "],
  ["malformed YAML", "insecure: [", ""],
])("an invalid file (%s) is served as of the last valid commit and named with its line", async (_, broken, field) => {
  await commitSpec(1, {});
  const text = readFileSync(join(folder, path), "utf8");
  writeFileSync(join(folder, path), text.replace("insecure: false", broken));
  git("commit", "-aqm", "oops");
  const view = await record.refresh();
  const file = view.resources.get("Upstream/default/hub");
  expect(file?.spec).toEqual(spec({}));
  expect(file?.problem?.path).toBe(path);
  expect(file?.problem?.line).toBeGreaterThan(1);
  expect(file?.problem?.message).toContain(field);
  expect(view.problems).toHaveLength(1);
});

test("an immutable field that a person changes in Git is refused", async () => {
  await commitSpec(1, {});
  writeFileSync(join(folder, path), readFileSync(join(folder, path), "utf8").replace("prefix: hub", "prefix: other"));
  git("commit", "-aqm", "rename");
  const file = (await record.refresh()).resources.get("Upstream/default/hub");
  expect(file?.spec).toMatchObject({ prefix: "hub" });
  expect(file?.problem?.message).toContain("spec.prefix");
});

test("a symbolic link is not followed", async () => {
  await commitSpec(1, {});
  rmSync(join(folder, path));
  symlinkSync("/etc/passwd", join(folder, path));
  git("commit", "-aqm", "link");
  const file = (await record.refresh()).resources.get("Upstream/default/hub");
  expect(file?.problem?.message).toContain("not a regular file");
  expect(file?.spec).toEqual(spec({}));
});

test("uncommitted changes of a person are kept, in the work tree and in the index", async () => {
  await commitSpec(1, {});
  writeFileSync(join(folder, path), "mine\n");
  await commitSpec(2, { cache: { tagTTL: "1m" } });
  expect(readFileSync(join(folder, path), "utf8")).toBe("mine\n");
  expect(record.dirty).toEqual([path]);
  expect(git("status", "--porcelain")).toBe(` M ${path}`);
  git("add", path);
  await commitSpec(3, { cache: { tagTTL: "2m" } });
  expect(git("show", `:${path}`)).toBe("mine");
  expect(record.view.resources.get("Upstream/default/hub")?.spec).toMatchObject({ cache: { tagTTL: "2m" } });
});

test("a commit that a person makes at the same moment is not lost", async () => {
  git("commit", "--allow-empty", "-qm", "theirs");
  await expect(commitSpec(1, {})).rejects.toMatchObject({ code: "Moved" });
  await record.refresh();
  await commitSpec(1, {});
  expect(git("log", "--format=%s")).toBe("upstream default/hub: generation 1\ntheirs\nrecord: begins");
});

test("what a crash left half done is finished by the next start", async () => {
  await commitSpec(1, {});
  await record.close();
  const first = git("rev-parse", "HEAD");
  const before = readFileSync(join(folder, path));
  record = await open();
  await commitSpec(2, { cache: { tagTTL: "1m" } });
  await record.close();
  // As a kill between the branch and the work tree leaves it: the note, an old file, an old index, a lock.
  git("read-tree", first);
  writeFileSync(join(folder, path), before);
  writeFileSync(join(folder, ".git/wharfinger/under-way.json"), JSON.stringify({ from: first }));
  writeFileSync(join(folder, ".git/index.lock"), "");
  record = await open();
  expect(existsSync(join(folder, ".git/index.lock"))).toBe(false);
  expect(git("status", "--porcelain")).toBe("");
  expect(readFileSync(join(folder, path), "utf8")).toContain("tagTTL: 1m");
});

test("another git that holds the index delays the work tree and nothing else", async () => {
  await commitSpec(1, {});
  writeFileSync(join(folder, ".git/index.lock"), "");
  await commitSpec(2, { cache: { tagTTL: "1m" } });
  expect(record.view.resources.get("Upstream/default/hub")?.spec).toMatchObject({ cache: { tagTTL: "1m" } });
  rmSync(join(folder, ".git/index.lock"));
  await record.refresh();
  expect(git("status", "--porcelain")).toBe("");
});

test("a folder with something else in it is refused", async () => {
  const other = mkdtempSync(join(tmpdir(), "wharfinger-other-"));
  writeFileSync(join(other, "notes.txt"), "mine");
  await expect(openRecord({ folder: other, author, logger: createLogger({ level: "silent" }) })).rejects.toMatchObject({
    code: "NotARepository",
  });
  rmSync(other, { recursive: true });
});

test("a hook of the repository is not run, and the person's own Git configuration changes nothing", async () => {
  writeFileSync(
    join(folder, ".git/config"),
    `[core]\n\thooksPath = ${folder}/hooks\n\tfsmonitor = touch ${folder}/ran\n[commit]\n\tgpgSign = true\n`,
    { flag: "a" },
  );
  await commitSpec(1, {});
  expect(existsSync(join(folder, "ran"))).toBe(false);
});

test("a merge that a person makes keeps the memory of both sides", async () => {
  await commitSpec(1, {});
  git("checkout", "-qb", "side");
  writeFileSync(join(folder, "NOTES.md"), "x");
  git("add", "NOTES.md");
  git("commit", "-qm", "notes");
  git("checkout", "-q", "wharfinger");
  await commitSpec(2, { cache: { tagTTL: "1m" } });
  git("merge", "--no-ff", "-qm", "merge", "side");
  await record.refresh();
  expect(record.history.memoryOf(key)?.generation).toBe(2);
  expect(record.view.resources.get("Upstream/default/hub")?.revision.subject).toBe("upstream default/hub: generation 2");
});

const digest = (letter: string) => `sha256:${letter.repeat(64)}` as const;
const build = (version: string, letter: string) => ({
  version,
  digest: digest(letter),
  sourceTag: "latest",
  seen: "2026-11-21T09:30:00Z",
  evidence: { type: "SPDX", attestation: digest("f"), predicateType: "https://spdx.dev/Document", platforms: ["linux/amd64"] } as const,
});

test("the revert of a version is a retired tag, also when the file goes with it and for a new process", async () => {
  const ledger = {
    image: "cgr.dev/chainguard/nginx",
    builds: [build("1.27.3-r2", "a")],
    tags: { "1.27.3-r2": digest("a"), "1.27": digest("a") },
    pinned: {},
    retired: {},
  };
  const committer = { installation: record.installation, appliedBy: "folder" };
  await record.commit([versionsCommit("cgr/chainguard/nginx", { subject: "1.27.3-r2", body: "", ledger, before: undefined, committer })]);
  expect(record.view.ledgers.get("cgr/chainguard/nginx")).toMatchObject({ ledger, unwritten: [] });
  git("revert", "--no-edit", "HEAD");
  await record.close();
  record = await open();
  const decided = record.view.ledgers.get("cgr/chainguard/nginx");
  expect(decided?.ledger.tags).toEqual({});
  expect(decided?.ledger.retired["1.27"]).toEqual({
    digest: digest("a"),
    by: "Jane Doe <jane@example.org>",
    commit: git("rev-parse", "HEAD"),
  });
  git("revert", "--no-edit", "HEAD");
  await record.refresh();
  expect(record.view.ledgers.get("cgr/chainguard/nginx")).toMatchObject({ ledger, unwritten: [] });
});

test("commits of others are noticed", async () => {
  const moved = new Promise<void>((resolve) => {
    record.onMove(resolve);
  });
  git("commit", "--allow-empty", "-qm", "theirs");
  await expect(moved).resolves.toBeUndefined();
});

test("a person's word reaches the process that serves", async () => {
  const moved = new Promise<void>((resolve) => {
    record.onMove(resolve);
  });
  const head = git("rev-parse", "HEAD");
  expect(await findCommit({ folder, commit: head.slice(0, 8) })).toBe(head);
  await confirm({ folder, what: "accepted", commit: head });
  await moved;
  await record.refresh();
  expect(record.confirmations).toEqual({ accepted: head, removals: [] });
});

test("words that let removals go are one a namespace and one for all; one that was said anew meanwhile is not put away", async () => {
  await commitSpec(1, {});
  const [head, before] = [git("rev-parse", "HEAD"), git("rev-parse", "HEAD~1")];
  await record.confirm("removal", head);
  const moved = new Promise<void>((resolve) => {
    record.onMove(resolve);
  });
  await confirm({ folder, what: "removal", commit: before, namespace: "team-a" });
  await moved;
  await record.refresh();
  expect(record.confirmations.removals).toEqual([{ commit: head }, { commit: before, namespace: "team-a" }]);
  await confirm({ folder, what: "removal", commit: head, namespace: "team-a" });
  await record.spend("removal", { commit: head });
  await record.spend("removal", { commit: before, namespace: "team-a" });
  await record.refresh();
  expect(record.confirmations.removals).toEqual([{ commit: head, namespace: "team-a" }]);
  // Also when it is known here by then: what was heard is one word, not whatever stands in its place.
  await record.spend("removal", { commit: before, namespace: "team-a" });
  await record.confirm("accepted", head);
  await record.spend("accepted", { commit: before });
  await record.refresh();
  expect(record.confirmations).toEqual({ accepted: head, removals: [{ commit: head, namespace: "team-a" }] });
});

test("what came and went is known by who did it and when, also to a new process", async () => {
  const hour = 3_600_000;
  await commitSpec(1, {});
  await record.close();
  const past = (hours: number) => new Date(Date.now() - hours * hour);
  record = await openRecord({ folder, author, logger: createLogger({ level: "silent" }), now: () => past(2) });
  await record.refresh();
  await record.commit([removalCommit(key, { generation: 1, present: true, committer: { installation: "ours", appliedBy: "x" } })]);
  git("revert", "--no-edit", "HEAD");
  await record.close();
  record = await open();
  await record.refresh();
  const removal = { generation: 1, present: true, confirmedBy: "1f3c2ab/team-a", committer: { installation: "ours", appliedBy: "x" } };
  await record.commit([removalCommit(key, removal)]);
  git("commit", "--allow-empty", "-qm", "Confirmed-Removal: 2f3c2ab");
  for (const process of ["the same", "a new"] as const) {
    if (process === "a new") record = await reopened();
    const known = record;
    await known.refresh();
    const said = (date: Date) =>
      known.history.presencesSince(date).map(({ present, commit }) => [present, commit.installation, commit.confirmedBy]);
    const lately = [
      [false, "ours", "1f3c2ab/team-a"],
      [true, undefined, undefined],
    ];
    expect(said(past(1))).toEqual(lately);
    expect(said(past(3))).toEqual([...lately, [false, "ours", undefined], [true, known.installation, undefined]]);
    expect([known.history.hasTaken("1f3c2ab/team-a"), known.history.hasTaken("2f3c2ab")]).toEqual([true, false]);
  }
});

async function reopened(): Promise<GitRecord> {
  await record.close();
  return open();
}

test("what is not a commit of the record is not taken for one", async () => {
  expect(await findCommit({ folder, commit: "--help" })).toBeNull();
  expect(await findCommit({ folder, commit: "0".repeat(40) })).toBeNull();
  expect(await findCommit({ folder: join(folder, "nowhere"), commit: "0".repeat(40) })).toBeNull();
});

test("whose operators have committed is known by what they committed themselves; a copy by a person is none of theirs", async () => {
  await commitSpec(1, {});
  const { installation } = record;
  await record.close();
  const other = () => openRecord({ folder, author, installation: "theirs", logger: createLogger({ level: "silent" }) });
  record = await other();
  await commitSpec(2, { cache: { tagTTL: "1m" } });
  git("revert", "--no-edit", "HEAD");
  git("cherry-pick", "--allow-empty", "HEAD~1");
  await record.refresh();
  const [first, second] = ["record: begins", "upstream default/hub: generation 2"];
  const found = record.history.writers().map(({ id, first: { subject }, last }) => [id, subject, last.subject]);
  expect(found).toEqual([[installation, first, "upstream default/hub: generation 1"], ["theirs", second, second]]); // prettier-ignore
  await record.close();
  record = await other();
  expect(record.history.writers().map(({ id }) => id)).toEqual([installation, "theirs"]);
});
