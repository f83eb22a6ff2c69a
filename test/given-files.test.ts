// Each file of test/node says whether it runs in a cluster that somebody gave.

import { readdirSync } from "node:fs";
import { join } from "node:path";

import { expect, test } from "vitest";

import { forGivenCluster, forOwnNode } from "./support/node/given-files.ts";

test("every file of test/node has its place, in test/support/node/given-files.ts", () => {
  const files = readdirSync(join(import.meta.dirname, "node")).map((name) => name.replace(/\.test\.ts$/, ""));
  expect([...forGivenCluster, ...Object.keys(forOwnNode)].sort()).toEqual(files.sort());
});
