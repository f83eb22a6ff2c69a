// A namespace that is full is its own problem: a publish that does not fit would be everybody's.

import { expect, test } from "vitest";

import type { History } from "../../record/history.ts";
import { emptyView, type RecordedFile } from "../../record/record-view.ts";
import { Verdicts } from "../../validation/verdicts.ts";
import type { ObservedResource } from "../ports.ts";
import { servedRecord } from "./published-resources.ts";
import { judge } from "../reconcilers/skeleton.ts";

const grants = {
  administrators: "registry",
  tenants: ["team-a", "team-b"].map((namespace) => ({ namespace, repositories: ["**"], kinds: ["AccessPolicy"], prefixes: [], hosts: [] })),
};
/** Some 15 KiB: 273 of them are 4 MiB. */
const include = Array.from({ length: 64 }, (_, index) => `team/${"x".repeat(220)}-${index}`);
const spec = { subjects: [{ kind: "Anonymous" }], repositories: { include, exclude: [] }, actions: ["pull"], suspend: false };
const policies = (namespace: string, count: number) =>
  Array.from({ length: count }, (_, index) => ({ kind: "AccessPolicy", namespace, name: `p${String(index).padStart(4, "0")}` }) as const);
const keys = [...policies("team-a", 400), ...policies("registry", 300), ...policies("team-b", 2)];
const counted = (found: readonly { readonly namespace: string }[]) =>
  Object.fromEntries([...Map.groupBy(found, ({ namespace }) => namespace)].map(([namespace, list]) => [namespace, list.length]));

test("what is more than a namespace may have is Stalled, the last first; others, and the administrators, go on", () => {
  const resources = keys.map((key): ObservedResource => ({
    ...key,
    generation: 1,
    annotations: {},
    spec,
    source: undefined,
    lineOf: () => undefined,
  }));
  const verdicts = new Verdicts(() => ({ spec: spec as never, suspend: false, warnings: [] }));
  const judgements = judge(resources, { files: new Map(), inOrder: [], grants, verdicts });
  const good = counted(judgements.filter(({ state }) => state === "good").map(({ key }) => key));
  expect(good).toEqual({ registry: 300, "team-a": expect.any(Number) as number, "team-b": 2 });
  expect(good["team-a"]).toBeLessThan(300);
  expect(judgements[399]).toMatchObject({ state: "stalled", reason: "NotGranted", message: expect.stringContaining("4 MiB") as string });
});

test("what Git has beyond that is not served", () => {
  const files = keys.map((key, index) => {
    const path = `${key.namespace}/${key.name}`;
    return [`AccessPolicy/${path}`, { key, spec, path, recordedAt: index, revision: { id: "r" } } as unknown as RecordedFile] as const;
  });
  const history = { memoryOf: () => undefined } as unknown as History;
  const { resources, withheld } = servedRecord({ ...emptyView, resources: new Map(files) }, history, { grants, suspended: () => false });
  const served = counted(resources);
  expect(served).toEqual({ registry: 300, "team-a": 400 - withheld.size, "team-b": 2 });
  expect(withheld.size).toBeGreaterThan(100);
  expect(withheld.get("AccessPolicy/team-a/p0399")).toMatchObject({ reason: "NotGranted" });
});
