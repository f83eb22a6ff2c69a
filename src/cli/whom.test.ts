import { expect, test } from "vitest";

import { whom, type WayName } from "./whom.ts";

const from = (given: Partial<Record<WayName, "cli" | "env">>) => (name: WayName) => given[name] ?? "default";

test.each<[string, Partial<Record<WayName, "cli" | "env">>, string, string]>([
  ["nothing", {}, "found", "cluster"],
  ["an address", { registry: "cli" }, "direct", "direct"],
  ["a data folder in the environment", { data: "env" }, "direct", "direct"],
  ["a namespace", { namespace: "cli" }, "cluster", "cluster"],
  ["a context in the environment", { context: "env" }, "cluster", "cluster"],
  ["a context, and an address in the environment", { context: "cli", registry: "env" }, "cluster", "cluster"],
  ["an address, and a context in the environment", { registry: "cli", context: "env" }, "direct", "direct"],
  ["both in the environment", { data: "env", context: "env" }, "direct", "direct"],
])("given %s", (_, given, alone, asPlugin) => {
  expect(whom(from(given), { plugin: false })).toBe(alone);
  expect(whom(from(given), { plugin: true })).toBe(asPlugin);
});

test("two on one command line are refused", () => {
  const both = from({ data: "cli", serviceAccount: "cli" });
  expect(() => whom(both, { plugin: false })).toThrow("--data names a registry, --service-account one in a cluster: give one of them.");
});
