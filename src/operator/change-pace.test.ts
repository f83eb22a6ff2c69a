// A resource that changes without end, on a real record.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, test } from "vitest";

import type { PublishRequest, RecordState } from "../api/control/record.ts";
import { createLogger } from "../observability/logger.ts";
import { openRecord } from "../record/repository.ts";
import { ChangePace } from "./change-pace.ts";
import { passageOf } from "./passages.ts";
import { Rounds } from "./rounds.ts";

test("so many changes are recorded as they come, then one at a time, and each resource has its own", () => {
  let now = 0;
  const pace = new ChangePace({ burst: 3, every: 1_000, now: () => now });
  const record = (id: string) => pace.mayRecord(id) && (pace.recorded([id]), true);
  expect([1, 2, 3, 4].map(() => record("a"))).toEqual([true, true, true, false]);
  expect(record("b")).toBe(true);
  now = 999;
  expect(record("a")).toBe(false);
  now = 1_001;
  expect([record("a"), record("a")]).toEqual([true, false]);
  now = 60_000;
  expect([1, 2, 3, 4].map(() => record("a"))).toEqual([true, true, true, false]);
});

test("what waits says so, is recorded as it is by then, and keeps nobody else waiting", async () => {
  const folder = mkdtempSync(join(tmpdir(), "wharfinger-pace-"));
  const logger = createLogger({ level: "silent" });
  const record = await openRecord({ folder: join(folder, "record"), author: { name: "W", email: "w@localhost" }, logger });
  let revision: string | null = null;
  const state = () => ({ apiVersion: "1", revision, publishedAt: null, documentVersions: [], pods: [] }) satisfies RecordState;
  let now = 0;
  const actions = new Map<string, string>();
  const resources = () =>
    [...actions].map(([name, action]) => ({
      kind: "AccessPolicy" as const,
      namespace: "registry",
      name,
      generation: undefined,
      annotations: {},
      source: undefined,
      spec: { subjects: [{ kind: "Anonymous" }], repositories: { include: ["**"] }, actions: [action] },
      lineOf: () => undefined,
    }));
  const rounds = new Rounds({
    source: { snapshot: () => ({ resources: resources(), problems: [], complete: true }) },
    record,
    client: {
      record: async () => state(),
      publish: async (request: PublishRequest) => {
        revision = request.revision;
        return state();
      },
      repositories: async () => [],
      versions: async () => Promise.reject(new Error("there are none")),
    },
    grants: { administrators: "registry", tenants: [] },
    committer: { installation: record.installation, appliedBy: "wharfinger" },
    others: () => [],
    narrator: { committed: () => undefined },
    howToSay: () => "",
    pace: new ChangePace({ burst: 2, every: 60_000, now: () => now }),
    logger,
  });
  const served = async (changes: Readonly<Record<string, string>>) => {
    for (const [name, action] of Object.entries(changes)) actions.set(name, action);
    const { plan, outcome } = await rounds.run([]);
    const said = plan.judgements.map((judgement) => passageOf(judgement, outcome).notRecorded?.message);
    return [outcome.served.resources.map(({ spec }) => (spec as { actions: string[] }).actions[0]), said];
  };
  try {
    await served({ a: "pull" });
    expect(await served({ a: "push" })).toEqual([["push"], [undefined]]);
    const message = expect.stringContaining("once a minute") as string;
    expect(await served({ a: "delete", b: "pull" })).toEqual([
      ["push", "pull"],
      [message, undefined],
    ]);
    now = 61_000;
    expect(await served({})).toEqual([
      ["delete", "pull"],
      [undefined, undefined],
    ]);
  } finally {
    await record.close();
    rmSync(folder, { recursive: true, force: true });
  }
});
