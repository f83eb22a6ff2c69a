// A resource that changes without end, on a real record.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, test } from "vitest";

import type { PublishRequest, RecordState } from "../../api/control/record.ts";
import type { AccessPolicySpec } from "../../api/kinds.ts";
import { createLogger } from "../../observability/logger.ts";
import { openRecord } from "../../record/repository.ts";
import { ChangePace } from "./change-pace.ts";
import { passageOf } from "./passages.ts";
import { Rounds } from "./rounds.ts";

test("so many changes are recorded as they come, then one at a time, and each resource has its own", () => {
  let now = 0;
  const pace = new ChangePace({ resource: { burst: 3, every: 1_000 }, now: () => now });
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

test("so many changes of a namespace are recorded as they come, then one at a time, removals counted", () => {
  let now = 0;
  const pace = new ChangePace({ namespace: { burst: 3, every: 1_000 }, now: () => now });
  pace.recorded(["AccessPolicy/team-a/one", "AccessPolicy/team-a/two"]);
  expect([pace.roomIn("team-a"), pace.roomIn("team-b")]).toEqual([1, 3]);
  // An administrator lets many go: what is made anew then waits for its second, and not for one of each that went.
  pace.recorded(Array.from({ length: 500 }, (_, index) => `AccessPolicy/team-a/r${index}`));
  expect(pace.roomIn("team-a")).toBe(0);
  now = 999;
  expect(pace.roomIn("team-a")).toBe(0);
  now = 1_000;
  expect(pace.roomIn("team-a")).toBe(1);
  now = 60_000;
  expect(pace.roomIn("team-a")).toBe(3);
});

/** Rounds on a real record, with a clock of their own. */
async function open(pace: ConstructorParameters<typeof ChangePace>[0]) {
  const folder = mkdtempSync(join(tmpdir(), "wharfinger-pace-"));
  const logger = createLogger({ level: "silent" });
  const record = await openRecord({ folder: join(folder, "record"), author: { name: "W", email: "w@localhost" }, logger });
  const clock = { now: 0 };
  let revision: string | null = null;
  const state = () => ({ apiVersion: "1", revision, publishedAt: null, documentVersions: [], pods: [] }) satisfies RecordState;
  /** What may be pulled, by namespace/name. */
  const prefixes = new Map<string, string>();
  const resources = () =>
    [...prefixes].map(([place, prefix]) => {
      const [namespace = "", name = ""] = place.split("/");
      const spec = { subjects: [{ kind: "Anonymous" }], repositories: { include: [`${prefix}/**`] }, actions: ["pull"] };
      const fields = { generation: undefined, annotations: {}, source: undefined, lineOf: () => undefined };
      return { kind: "AccessPolicy" as const, namespace, name, spec, ...fields };
    });
  const tenants = ["team-a", "team-b"].map((namespace) => ({
    namespace,
    repositories: ["**"],
    kinds: ["AccessPolicy"],
    prefixes: [],
    hosts: [],
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
    grants: { administrators: "registry", tenants },
    committer: { installation: record.installation, appliedBy: "wharfinger" },
    others: () => [],
    narrator: { committed: () => undefined, notPublished: () => undefined },
    howToSay: () => "",
    pace: new ChangePace({ ...pace, now: () => clock.now }),
    logger,
  });
  return {
    clock,
    rounds,
    change: (changes: Readonly<Record<string, string>>) => {
      for (const [place, prefix] of Object.entries(changes)) prefixes.set(place, prefix);
    },
    async [Symbol.asyncDispose]() {
      await record.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

test("what waits says so, is recorded as it is by then, and keeps nobody else waiting", async () => {
  await using world = await open({ resource: { burst: 2, every: 60_000 } });
  const served = async (changes: Readonly<Record<string, string>>) => {
    world.change(changes);
    const { plan, outcome } = await world.rounds.run([]);
    const said = plan.judgements.map((judgement) => passageOf(judgement, outcome).notRecorded?.message);
    return [outcome.served.resources.map(({ spec }) => (spec as AccessPolicySpec).repositories.include[0]), said];
  };
  await served({ "registry/a": "one" });
  expect(await served({ "registry/a": "two" })).toEqual([["two/**"], [undefined]]);
  const message = expect.stringContaining("once a minute") as string;
  expect(await served({ "registry/a": "three", "registry/b": "one" })).toEqual([
    ["two/**", "one/**"],
    [message, undefined],
  ]);
  world.clock.now = 61_000;
  expect(await served({})).toEqual([
    ["three/**", "one/**"],
    [undefined, undefined],
  ]);
});

test("a tenant who changes all that is his without end makes no more commits than his pace allows, each resource has its turn, and others go first", async () => {
  await using world = await open({ namespace: { burst: 9, every: 1_000 } });
  const places = Array.from({ length: 6 }, (_, index) => `team-a/r${index}`);
  const turns = new Map<string, number>();
  const round = async (number: number) => {
    world.change(Object.fromEntries([...places, "team-b/one", "registry/one"].map((place) => [place, `round-${number}`])));
    const { plan } = await world.rounds.run([]);
    const recorded = plan.commits.map(({ subject }) => /accesspolicy (\S+):/.exec(subject)?.[1] ?? "");
    for (const place of recorded) turns.set(place, (turns.get(place) ?? 0) + 1);
    return recorded.filter((place) => places.includes(place)).length;
  };
  expect([await round(0), await round(1), await round(2)]).toEqual([6, 3, 0]);
  const later: number[] = [];
  for (let number = 3; number < 6; number++) {
    world.clock.now += 3_000;
    later.push(await round(number));
  }
  expect(later).toEqual([3, 3, 3]);
  expect([turns.get("team-b/one"), turns.get("registry/one")]).toEqual([6, 6]);
  expect(places.map((place) => turns.get(place))).toEqual([3, 3, 3, 3, 3, 3]);
}, 60_000);
