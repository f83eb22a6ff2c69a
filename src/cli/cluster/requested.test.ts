import { expect, test } from "vitest";

import type { Condition, ResourceView } from "../../api/control/resources.ts";
import { standing } from "./requested.ts";

const at = "2026-11-22T12:00:00.000Z";
const key = { kind: "TagPolicy", namespace: "team-a", name: "nginx" } as const;

function view(details: Record<string, unknown>, { observed = 2, conditions = [] as Condition[] } = {}): ResourceView {
  return { ...key, generation: 2, spec: {}, status: { observedGeneration: observed, conditions, details } };
}

const condition = (type: string, status: "True" | "False", reason: string): Condition => ({
  type,
  status,
  reason,
  message: "words",
  lastTransitionTime: at,
  observedGeneration: 2,
});

const run = (id: string, state: string, message?: string) => ({
  id,
  state,
  finishedAt: `${id} ended`,
  ...(message === undefined ? {} : { message }),
});
const before = view({ lastRun: run("1", "succeeded") });
const standsAs = (now: ResourceView) => standing({ key, at, before }, now);

test("a policy is done when the run that came after the request has ended", () => {
  expect(standsAs(before)).toMatchObject({ now: expect.stringContaining("waiting for the operator") });
  expect(standsAs(view({ lastRun: { state: "running", startedAt: at } }))).toEqual({ now: "TagPolicy team-a/nginx: a run is under way" });
  const handled = (lastRun: object) => standsAs(view({ lastHandledReconcileAt: at, lastRun }));
  const underWay = { now: "TagPolicy team-a/nginx: its run is under way" };
  expect(handled(run("1", "succeeded"))).toEqual(underWay);
  expect(handled({ state: "running", startedAt: at })).toEqual(underWay);
  expect(handled(run("2", "succeeded", "3 versions"))).toEqual({ done: "TagPolicy team-a/nginx: 3 versions" });
  expect(handled(run("2", "failed", "no token"))).toEqual({ failed: "TagPolicy team-a/nginx: no token" });
  // A run that could not even be registered.
  expect(handled({ state: "failed", finishedAt: at, message: "the registry is away" })).toEqual({
    failed: "TagPolicy team-a/nginx: the registry is away",
  });
});

test("what is stalled is not waited for, but for what was said of an earlier generation", () => {
  const conditions = [condition("Stalled", "True", "Invalid"), condition("Ready", "False", "Invalid")];
  expect(standsAs(view({}, { conditions }))).toEqual({ failed: "TagPolicy team-a/nginx is not ready: Invalid: words" });
  expect(standsAs(view({}, { conditions, observed: 1 }))).toHaveProperty("now");
});

test("what is suspended meanwhile is not waited for: nobody looks at it", () => {
  const now = (status: "True" | "False") => view({}, { conditions: [condition("Ready", status, "Suspended")] });
  const words = { failed: "TagPolicy team-a/nginx is suspended: words" };
  expect(standsAs(now("True"))).toEqual(words);
  expect(standsAs(now("False"))).toEqual(words);
  // It was, and the operator has not seen yet that it goes on.
  const before = { conditions: [condition("Ready", "True", "Suspended")], observed: 1 };
  expect(standsAs(view({}, before))).toHaveProperty("now");
});

test.each(["SecretNotFound", "SecretInvalid", "DependencyNotReady", "RemoteUnavailable", "NotRecorded"])(
  "before the operator has looked as it was asked to, what it said of %s may be over",
  (reason) => {
    expect(standsAs(view({}, { conditions: [condition("Ready", "False", reason)] }))).toEqual({
      now: `waiting for the operator (TagPolicy team-a/nginx is not ready: ${reason}: words)`,
    });
  },
);

test.each(["Progressing", "NotDelivered"])("a Secret that is on its way to the registry is waited for: %s", (reason) => {
  for (const kind of ["Upstream", "AccessPolicy"] as const) {
    const now = view({ lastHandledReconcileAt: at }, { conditions: [condition("Ready", "False", reason)] });
    expect(standing({ key: { ...key, kind }, at, before }, now)).toEqual({ now: `${kind} team-a/nginx is not ready: ${reason}: words` });
  }
});

test("what has no runs is done when it was looked at", () => {
  const requested = { key: { ...key, kind: "Upstream" as const }, at, before };
  const handled = (...conditions: Condition[]) => standing(requested, view({ lastHandledReconcileAt: at }, { conditions }));
  expect(handled(condition("Ready", "True", "Succeeded"))).toEqual({ done: "Upstream team-a/nginx is ready: Succeeded: words" });
  expect(handled(condition("Ready", "True", "Succeeded"), condition("Reachable", "False", "Unreachable"))).toEqual({
    done: "Upstream team-a/nginx is ready: Succeeded: words, and not reachable: words",
  });
  expect(handled(condition("Ready", "False", "SecretNotFound"))).toEqual({
    failed: "Upstream team-a/nginx is not ready: SecretNotFound: words",
  });
  expect(handled(condition("Reconciling", "True", "Progressing"), condition("Ready", "False", "Progressing"))).toHaveProperty("now");
});
