import { expect, test } from "vitest";

import type { Condition, ResourceView } from "../../api/control/resources.ts";
import { conditionOf, statusOf } from "./status-of.ts";

const condition = (status: Condition["status"], reason: string, observedGeneration = 1): Condition => ({
  type: "Reachable",
  status,
  reason,
  message: reason,
  lastTransitionTime: "2026-11-21T10:00:00Z",
  observedGeneration,
});
const said = (...conditions: Condition[]) => ({ status: { observedGeneration: 1, conditions } }) as unknown as ResourceView;

test("what an operator that has just started was not told yet is no news; of another spec it is", () => {
  const before = condition("False", "Unreachable");
  const now = (view: Condition) => conditionOf("Reachable", statusOf(said(view), { conditions: [before] }));
  expect(now(condition("Unknown", "NotAsked"))).toEqual(before);
  expect(now(condition("Unknown", "NotAsked", 2))).toMatchObject({ reason: "NotAsked" });
  const unasked = { ...condition("Unknown", "NotAsked"), message: "there is no Secret x" };
  const here = conditionOf("Reachable", statusOf(said(condition("Unknown", "NotAsked")), { conditions: [unasked] }));
  expect(here, "what was unasked before is said anew").toMatchObject({ message: "NotAsked" });
  expect(now(condition("True", "Succeeded"))).toMatchObject({ status: "True" });
  expect(conditionOf("Reachable", statusOf(said(condition("Unknown", "NotAsked")), undefined))).toMatchObject({ reason: "NotAsked" });
});
