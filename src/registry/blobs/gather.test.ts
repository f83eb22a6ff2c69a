import { randomBytes } from "node:crypto";

import { expect, test } from "vitest";

import { giveBack } from "./gather.ts";

test("memory that a piece has to itself is given back, memory that it shares is not", () => {
  const own = new Uint8Array(100_000);
  const part = Buffer.alloc(100_000).subarray(1);
  const pooled = Buffer.from("a neighbour lives in the same slab");
  const neighbour = Buffer.from("untouched");
  const foreign = new Uint8Array(new SharedArrayBuffer(10));
  giveBack([own, part, pooled, foreign]);
  expect([own, part, pooled, foreign].map(({ byteLength }) => byteLength)).toEqual([0, 99_999, 34, 10]);
  expect(neighbour.toString()).toBe("untouched");
  giveBack([own, randomBytes(0)]);
});
