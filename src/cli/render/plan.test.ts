import { expect, test } from "vitest";

import type { Plan, PlanEntry } from "../../api/control/retention.ts";
import { renderApplied, renderPlan } from "./plan.ts";

const digest = `sha256:${"a".repeat(64)}`;
const entry = (fields: Partial<PlanEntry>): PlanEntry => ({
  repository: "team-a/app",
  digest,
  verdict: "keep",
  rule: "releases",
  reason: "it keeps all of them",
  version: false,
  bytes: 0,
  ...fields,
});
const plan: Plan = {
  id: "0123abcd",
  policy: "default/builds",
  action: "Delete",
  createdAt: "2026-11-21T12:00:00.000Z",
  entries: [
    entry({ tag: "v1" }),
    entry({ tag: "build-1", verdict: "delete", rule: "none", reason: "no rule keeps it", bytes: 3 * 1024 * 1024 }),
    entry({ verdict: "delete", rule: "untagged", reason: "untagged since 2026-11-19 10:00 UTC", bytes: 10 }),
    entry({ verdict: "keep", rule: "follows", reason: "child of sha256:bbb, which is kept" }),
  ],
  totals: { kept: 2, deleted: 2, bytes: 3 * 1024 * 1024 + 10 },
  notes: ["inUse asks nothing: no cluster is configured"],
};
const plain = (text: string) => text.replaceAll(/\u001B\[\d+m/g, "");

test("a plan is a table of verdicts with rule and reason, then totals and notes", () => {
  expect(plain(renderPlan(plan))).toBe(
    [
      "VERDICT   IMAGE                            RULE       FREES     REASON",
      "keep      team-a/app:v1                    releases             it keeps all of them",
      "delete    team-a/app:build-1               none       3.0 MiB   no rule keeps it",
      "delete    team-a/app@sha256:aaaaaaaaaaaa   untagged   10 B      untagged since 2026-11-19 10:00 UTC",
      "",
      "1 child or referrer that follow others are not listed (-o json has them).",
      "Note: inUse asks nothing: no cluster is configured.",
      "2 kept, 2 to delete, 3.0 MiB come free. The next run deletes them.",
      "Plan 0123abcd of default/builds, made 2026-11-21T12:00:00.000Z.",
    ].join("\n"),
  );
});

test("action: Plan, a stopped plan and versions are said", () => {
  const entries = [entry({ tag: "1.27.1", verdict: "delete", rule: "none", version: true })];
  const blocked = { reason: "LimitExceeded", message: "it would delete 1 of 1 tags" };
  const text = plain(renderPlan({ ...plan, action: "Plan", entries, blocked, notes: [], totals: { kept: 0, deleted: 1, bytes: 0 } }));
  expect(text).toContain("0 kept, 1 to delete (1 version to retire), 0 B come free. The policy has action: Plan, so nothing is deleted.");
  expect(text.split("\n").at(-1)).toBe("Stopped (LimitExceeded): it would delete 1 of 1 tags");
  const deletes = plain(renderPlan({ ...plan, action: "Delete", entries, blocked, totals: { kept: 0, deleted: 1, bytes: 0 } }));
  expect(deletes.split("\n").at(-1)).toContain(`npx wharfinger job prune --policy ${plan.policy} --approve ${plan.id}`);
});

test("a plan of nothing has no table", () => {
  expect(plain(renderPlan({ ...plan, entries: [], totals: { kept: 0, deleted: 0, bytes: 0 }, notes: [] })).split("\n")[0]).toBe(
    "0 kept, 0 to delete, 0 B come free.",
  );
});

test("an apply says what went, what stayed and which proposals were made", () => {
  const kept = [entry({ tag: "build-1", verdict: "keep", rule: "changed", reason: "the tag is gone already" })];
  const text = plain(renderApplied({ plan: plan.id, deleted: [plan.entries[1]!], kept, proposals: ["7"], bytes: 2048 }));
  expect(text.split("\n").at(-1)).toBe(
    "1 deleted, 2.0 KiB come free. 1 stayed, because something changed since the plan. 1 proposal to retire versions: 7.",
  );
});
