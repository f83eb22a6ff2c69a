import { expect, test } from "vitest";

import type { Condition, ResourceView } from "../../api/control/resources.ts";
import { renderResources } from "./resources.ts";

type Said = readonly [type: string, status: Condition["status"], reason: string, message: string];

function messageOf(...said: readonly Said[]): string {
  const conditions = said.map(([type, status, reason, message]): Condition => ({
    type,
    status,
    reason,
    message,
    lastTransitionTime: "2026-01-01T00:00:00Z",
    observedGeneration: 1,
  }));
  const view: ResourceView = {
    kind: "TagPolicy",
    namespace: "default",
    name: "nginx",
    generation: 1,
    spec: {},
    status: { observedGeneration: 1, revision: "1f3c2ab0123", conditions },
  };
  return renderResources([view]).split("1f3c2ab").at(-1)?.trim() ?? "";
}

const served: Said = ["Ready", "True", "Succeeded", "served"];
const recorded: Said = ["Recorded", "True", "Succeeded", "generation 1 is recorded"];

test("what is wrong with a resource that is served stands before that it is served", () => {
  expect(messageOf(served, recorded)).toBe("served");
  expect(messageOf(served, recorded, ["Synced", "False", "NoVersionMinted", "2 of 2 images failed"])).toBe(
    "Synced is False: 2 of 2 images failed; served",
  );
  expect(messageOf(served, ["RateLimited", "True", "TooManyRequests", "until 12:00"])).toBe("RateLimited is True: until 12:00; served");
  expect(messageOf(served, ["Reachable", "Unknown", "Progressing", "not asked yet"])).toBe("served");
});

test("what Ready says itself is said once", () => {
  expect(messageOf(["Ready", "True", "Overridden", "Jane Doe's"], ["Overridden", "True", "Overridden", "Jane Doe's"])).toBe("Jane Doe's");
  expect(
    messageOf(["Ready", "True", "Succeeded", "served; no user ci"], ["CredentialsLoaded", "False", "SecretInvalid", "no user ci"]),
  ).toBe("CredentialsLoaded is False: no user ci; served");
  expect(messageOf(["Ready", "False", "Invalid", "no URL"], ["Stalled", "True", "Invalid", "no URL"])).toBe("no URL");
});
