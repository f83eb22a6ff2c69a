// What counts as deleted where not everything could be read.

import { expect, test } from "vitest";

import type { ResourceKey } from "../domain/resource.ts";
import type { History, Memory } from "../record/history.ts";
import { emptyView, type RecordedFile } from "../record/record-view.ts";
import type { ResourceSnapshot } from "./ports.ts";
import { planRound } from "./round.ts";

const key = (namespace: string): ResourceKey => ({ kind: "AccessPolicy", namespace, name: "one" });
const recorded = ["registry", "team-a", "team-b"].map(key);

function removed(snapshot: Partial<ResourceSnapshot>) {
  const memories = recorded.map((key) => ({ key, generation: 1, specDigest: "d", installation: "i" }) as Memory);
  const files = [...recorded, key("team-c")].map((key) => [`AccessPolicy/${key.namespace}/one`, { key } as RecordedFile] as const);
  const { commits, removals } = planRound({
    snapshot: { resources: [], problems: [], complete: true, ...snapshot },
    view: { ...emptyView, resources: new Map(files) },
    history: { memories: () => memories } as unknown as History,
    grants: { administrators: "registry", tenants: [] },
    committer: { installation: "i", appliedBy: "wharfinger" },
    proposals: [],
    others: [],
    confirmedRemoval: null,
    now: new Date(),
  });
  return { commits: commits.map(({ subject }) => subject), orphans: removals.orphans.map(({ namespace }) => namespace) };
}

const subject = (namespace: string) => `accesspolicy ${namespace}/one: removed`;

test("what is missing is removed, and what others recorded is an orphan", () => {
  expect(removed({})).toEqual({ commits: recorded.map(({ namespace }) => subject(namespace)), orphans: ["team-c"] });
});

test("in a picture that is not whole nothing is", () => {
  expect(removed({ complete: false })).toEqual({ commits: [], orphans: [] });
});

test("where a namespace could not be read, what was deleted in the others goes", () => {
  expect(removed({ complete: false, unseen: new Set(["team-a"]) })).toEqual({
    commits: [subject("registry"), subject("team-b")],
    orphans: ["team-c"],
  });
  expect(removed({ complete: false, unseen: new Set(["registry", "team-c"]) })).toEqual({
    commits: [subject("team-a"), subject("team-b")],
    orphans: [],
  });
});
