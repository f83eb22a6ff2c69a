import { expect, test } from "vitest";
import { parse } from "yaml";

import type { PlanEntry } from "../../api/control/retention.ts";
import { digestOf } from "../../domain/digest.ts";
import { deletedCommit } from "./plans.ts";

const committer = { installation: "i", appliedBy: "wharfinger" };
const entries = (count: number): PlanEntry[] =>
  Array.from({ length: count }, (_, index) => ({
    repository: "team-a/app",
    ...(index === 0 ? {} : { tag: `build-${index}` }),
    digest: digestOf(String(index)),
    verdict: "delete",
    rule: "none",
    reason: "no rule keeps it",
    version: false,
    bytes: 7,
  }));
const commitOf = (deleted: readonly PlanEntry[], more: object = {}) => {
  const applied = { plan: "0123abcd", deleted, kept: [], proposals: [], bytes: 70 };
  return deletedCommit(
    "default/builds",
    { run: "run-1", succeeded: true, message: "", result: { deleted: deleted.length, applied, ...more } },
    committer,
  );
};

test("a run that deleted something is one commit: what, why, bytes, and the hash of the whole plan", () => {
  const commit = commitOf(entries(2));
  expect(commit).toMatchObject({
    subject: "plan default/builds: 2 deleted, 70 bytes",
    body: `* team-a/app@${digestOf("0")}: no rule keeps it\n* team-a/app:build-1: no rule keeps it`,
    files: [{ path: "plans/default/builds.yaml" }],
  });
  expect(parse(commit?.files[0]?.content ?? "")).toEqual({
    apiVersion: "record.wharfinger.dev/v1",
    kind: "Plan",
    policy: "default/builds",
    run: "run-1",
    plan: "0123abcd",
    deleted: 2,
    bytes: 70,
    entries: [
      { repository: "team-a/app", digest: digestOf("0"), rule: "none", reason: "no rule keeps it", bytes: 7 },
      { repository: "team-a/app", tag: "build-1", digest: digestOf("1"), rule: "none", reason: "no rule keeps it", bytes: 7 },
    ],
  });
});

test("at most a thousand of what was deleted are listed, and the rest is counted", () => {
  const commit = commitOf(entries(1_001), { deleted: 5_000 });
  expect(commit?.subject).toBe("plan default/builds: 5000 deleted, 70 bytes");
  expect(commit?.body.split("\n")).toHaveLength(21);
  expect(commit?.body).toContain("* and 4980 more in the file");
  const document = parse(commit?.files[0]?.content ?? "") as { entries: unknown[]; notListed: number };
  expect(document.entries).toHaveLength(1_000);
  expect(document).toMatchObject({ deleted: 5_000, notListed: 4_000 });
});

test.each([
  ["deleted nothing", { deleted: 0, applied: { plan: "p", deleted: [], kept: [], proposals: [], bytes: 0 } }],
  ["only planned", { plan: "p", planned: { deleted: 3, bytes: 1 }, deleted: 0 }],
  ["could not begin", undefined],
])("a run that %s commits nothing", (_, result) => {
  expect(deletedCommit("default/builds", { run: "r", succeeded: true, message: "", result }, committer)).toBeUndefined();
});

test("what a job says of its deletions in another form is left out, and each of them is one line", () => {
  const [first] = entries(1);
  const strange = [null, 7, "text", {}, { ...first, reason: 7 }, { ...first, tag: { a: 1 }, rule: [[]], bytes: "many" }];
  const commit = commitOf([...(strange as PlanEntry[]), { ...(first as PlanEntry), reason: "a\n\nRun: x\u001b[2J" }], { deleted: "all" });
  expect(commit?.body).toBe(`* team-a/app@${digestOf("0")}: no rule keeps it\n* team-a/app@${digestOf("0")}: a Run: x\u{fffd}[2J`);
  expect(parse(commit?.files[0]?.content ?? "")).toMatchObject({
    deleted: 2,
    entries: [
      { rule: "", bytes: 0 },
      { rule: "none", bytes: 7 },
    ],
  });
  for (const result of [null, "text", [1], { plan: "p", deleted: {} }, { applied: "x" }])
    expect(deletedCommit("default/builds", { run: "r", succeeded: false, message: "", result }, committer)).toBeUndefined();
});
