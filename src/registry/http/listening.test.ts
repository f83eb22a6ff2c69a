import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, test } from "vitest";

import { connectionLimit } from "./listening.ts";

test("connections get half of the descriptors, or a default where nobody says how many there are", async () => {
  const folder = await mkdtemp(join(tmpdir(), "limits-"));
  const file = join(folder, "limits");
  const head = "Limit                     Soft Limit           Hard Limit           Units     \n";
  for (const [line, expected] of [
    ["Max open files            1024                 524288               files     \n", 512],
    ["Max open files            unlimited            unlimited            files     \n", 10_000],
    ["", 10_000],
  ] as const) {
    await writeFile(file, `${head}${line}`);
    expect(connectionLimit(file)).toBe(expected);
  }
  await rm(folder, { recursive: true });
  expect(connectionLimit(file)).toBe(10_000);
});
