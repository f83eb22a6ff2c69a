// The short form of test/chaos/faults.ts: a pod is cut off from its database or its bucket, refused or left without an answer.

import { expect, test } from "vitest";

import { faults } from "../chaos/faults.ts";

test("cut off from database or bucket: pulls never lie, nothing acknowledged is lost, and all works again by itself", async () => {
  const onProgress = (line: string) => void process.stderr.write(`${line}\n`);
  const { rows, acknowledged, problems } = await faults({ hold: 1_500, pods: 1, modes: ["refuses", "stalls"], onProgress });
  expect(problems).toEqual([]);
  // Else the faults tested nothing.
  expect(rows).toHaveLength(4);
  for (const { pulls } of rows) expect(Object.values(pulls).length).toBeGreaterThan(0);
  expect(acknowledged).toBeGreaterThan(rows.length);
});
