// The verdict of the chaos runs: it must be able to fail.

import { expect, test } from "vitest";

import { settled } from "../chaos/settled.ts";

const rows = <Row>() => Promise.resolve<Row[]>([]);

test("what the checker finds at the end is a problem; what it found on the way is none", async () => {
  const looks = [["4: bytes that wait"], []];
  expect(await settled({ ask: rows, violations: () => Promise.resolve(looks.shift()!) }, 5)).toEqual([]);
  expect(await settled({ ask: rows, violations: () => Promise.resolve(["1: a tag leads nowhere"]) }, 0.1)).toEqual([
    "1: a tag leads nowhere",
  ]);
});

test("a checker that fails is a problem, also when it had found nothing before", async () => {
  const violations = () => Promise.reject(new Error("column does not exist"));
  expect(await settled({ ask: rows, violations }, 0.1)).toEqual([
    expect.stringMatching(/^the checker had no answer: .*column does not exist/s),
  ]);
});
