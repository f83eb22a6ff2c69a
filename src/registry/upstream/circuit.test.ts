import { expect, test } from "vitest";

import { Circuit } from "./circuit.ts";

function circuit(): { circuit: Circuit; tick: (milliseconds: number) => void } {
  let now = 0;
  return { circuit: new Circuit({ now: () => now }), tick: (milliseconds) => (now += milliseconds) };
}

test("it opens after five failures in a row, and lets one probe through at a time", () => {
  const { circuit: it, tick } = circuit();
  for (let failures = 0; failures < 5; failures++) {
    expect(it.admit()).toBe(0);
    it.failed();
  }
  expect(it.admit()).toBe(1000);
  tick(1000);
  expect(it.admit()).toBe(0);
  expect(it.admit()).toBeGreaterThan(0);
  it.failed();
  expect(it.admit()).toBe(2000);
  tick(2000);
  expect(it.admit()).toBe(0);
  it.succeeded();
  expect([it.admit(), it.admit()]).toEqual([0, 0]);
});

test("it never waits longer than four seconds", () => {
  const { circuit: it, tick } = circuit();
  for (let failures = 0; failures < 30; failures++) {
    tick(4000);
    it.admit();
    it.failed();
  }
  expect(it.admit()).toBe(4000);
});

test("a success in between starts the count again, and an abandoned probe makes room for the next", () => {
  const { circuit: it, tick } = circuit();
  for (let failures = 0; failures < 4; failures++) it.failed();
  it.succeeded();
  for (let failures = 0; failures < 4; failures++) it.failed();
  expect(it.admit()).toBe(0);
  it.failed();
  tick(1000);
  expect(it.admit()).toBe(0);
  it.abandoned();
  expect(it.admit()).toBe(0);
});
