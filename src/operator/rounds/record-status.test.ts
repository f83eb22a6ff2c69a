import { expect, test } from "vitest";

import type { ResourceKey } from "../../domain/resource.ts";
import { emptyView } from "../../record/record-view.ts";
import type { Outcome } from "./passages.ts";
import { recordStatus } from "./record-status.ts";
import type { Removals } from "./removals.ts";
import type { RoundPlan } from "./round.ts";

const waitingAfter = (...counts: readonly number[]) => {
  const waiting = counts.map((count, index) => {
    const namespace = `team-${index}`;
    const keys = Array.from({ length: count }, (_, number): ResourceKey => ({ kind: "AccessPolicy", namespace, name: `p${number}` }));
    const loss = { gone: count + 1, stood: count + 2, of: "resources of this namespace" };
    return { namespace, keys, loss, commit: "1f3c2ab", word: `1f3c2ab/${namespace}` };
  });
  const removals: Removals = { removals: [], orphans: [], heard: [], waiting, wordForAll: "1f3c2ab" };
  const plan = { removals, deferred: [] } as unknown as RoundPlan;
  const outcome = { view: { ...emptyView, head: "1f3c2ab" } } as Outcome;
  return recordStatus(plan, outcome, (decision, word) => `${decision} ${word}`).waiting;
};

test("what waits is told namespace by namespace, with why and the command, and with one for all", () => {
  const [first, second, all] = waitingAfter(4, 1);
  expect(first).toBe(
    "namespace team-0: 4 resources are gone (AccessPolicy/team-0/p0, AccessPolicy/team-0/p1, AccessPolicy/team-0/p2, AccessPolicy/team-0/p3); " +
      "what is recorded is served on, because within an hour 5 of 6 resources of this namespace would be removed. To remove it: confirm-removal 1f3c2ab/team-0",
  );
  expect(second).toMatch(/^namespace team-1: 1 resource is gone /);
  expect(all).toBe("5 resources are gone in 2 namespaces (team-0 4, team-1 1). To remove all of them: confirm-removal 1f3c2ab");
  expect(waitingAfter(4)).toHaveLength(1);
});

test("of many twenty are named, and the command is whole", () => {
  const [many = ""] = waitingAfter(20_000);
  expect(many).toMatch(
    /^namespace team-0: 20000 resources are gone \(.*team-0\/p19, … and 19980 more\); .* confirm-removal 1f3c2ab\/team-0$/,
  );
  expect(many.match(/AccessPolicy/g)).toHaveLength(20);
  const everywhere = waitingAfter(...Array.from({ length: 300 }, () => 1));
  expect(everywhere).toHaveLength(21);
  expect(everywhere.at(-1)).toMatch(/^300 resources are gone in 300 namespaces \(.*team-19 1, … and 280 more\)\. /);
});
