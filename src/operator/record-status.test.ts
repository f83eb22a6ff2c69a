import { expect, test } from "vitest";

import { emptyView } from "../record/record-view.ts";
import type { Outcome } from "./passages.ts";
import { recordStatus } from "./record-status.ts";
import type { RoundPlan } from "./round.ts";

const waitingAfter = (count: number) => {
  const removals = Array.from({ length: count }, (_, index) => ({
    key: { kind: "AccessPolicy" as const, namespace: "team-a", name: `p${index}` },
    generation: 1,
    present: true,
  }));
  const plan = { removals: { removals, orphans: [], waiting: true }, deferred: [] } as unknown as RoundPlan;
  const outcome = { view: { ...emptyView, head: "1f3c2ab" } } as Outcome;
  return recordStatus(plan, outcome, (decision, commit) => `${decision} ${commit}`).waiting;
};

test("what is gone is named, twenty at most, and the command is whole", () => {
  expect(waitingAfter(2)).toEqual([
    "2 resources are gone at once (AccessPolicy/team-a/p0, AccessPolicy/team-a/p1); they are served on. To remove them: confirm-removal 1f3c2ab",
  ]);
  const [many = ""] = waitingAfter(20_000);
  expect(many).toMatch(
    /^20000 resources are gone at once \(.*team-a\/p19, … and 19980 more\); they are served on\. .* confirm-removal 1f3c2ab$/,
  );
  expect(many.match(/AccessPolicy/g)).toHaveLength(20);
});
