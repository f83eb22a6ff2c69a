// What is generated from crds/ is what the generators would write now.

import { execFile } from "node:child_process";
import { resolve } from "node:path";
import { promisify } from "node:util";

import { expect, test } from "vitest";

const root = resolve(import.meta.dirname, "..");

test.each(["generate-types.mjs"])("scripts/%s has nothing to write", async (script) => {
  const { stderr } = await promisify(execFile)(process.execPath, [resolve(root, "scripts", script), "--check"], { cwd: root });
  expect(stderr).toBe("");
});
