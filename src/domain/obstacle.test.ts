import { readFileSync } from "node:fs";

import { expect, test } from "vitest";

import { obstacleReasons } from "./obstacle.ts";

test("the guide says of each reason what to do", () => {
  const guide = readFileSync(new URL("../../docs/guides/several-processes.md", import.meta.url), "utf8");
  const table = /^\| reason \|.*\n(?:\|.*\n)+/m.exec(guide)?.[0] ?? "";
  expect([...table.matchAll(/^\| `(\w+)` \|/gm)].map(([, reason]) => reason)).toEqual(obstacleReasons);
});
