import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";

import { leaveLastWords } from "./last-words.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "last-words-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test("the file that the kubelet made says why the process ended, in words for somebody with a kubeconfig", () => {
  const file = join(folder, "termination-log");
  writeFileSync(file, "");
  leaveLastWords("Run `npx wharfinger audit --adopt`.", { file, inPod: true });
  expect(readFileSync(file, "utf8")).toBe("Run `kubectl wharfinger audit --adopt`.");
  leaveLastWords("x".repeat(10_000), { file, inPod: true });
  expect(readFileSync(file)).toHaveLength(4_096);
});

test("none is made where there is none, and outside of a Pod nothing is written", () => {
  const file = join(folder, "termination-log");
  leaveLastWords("why", { file, inPod: true });
  expect(() => readFileSync(file)).toThrow("ENOENT");
  writeFileSync(file, "");
  leaveLastWords("why", { file, inPod: false });
  expect(readFileSync(file, "utf8")).toBe("");
});
