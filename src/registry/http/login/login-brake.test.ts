import { expect, test } from "vitest";

import { LoginBrake } from "./login-brake.ts";

const options = { free: 2, first: 250, longest: 1_000 };

test("lets the first failures pass, then pauses by source and by name, and forgets after a success", () => {
  const brake = new LoginBrake(options);
  const pauses = Array.from({ length: 6 }, () => {
    const pause = brake.pauseOf("a", "ci");
    brake.failed("a", "ci");
    return pause;
  });
  expect(pauses).toEqual([0, 0, 0, 250, 500, 1_000]);
  expect(brake.pauseOf("a", "other")).toBe(1_000);
  expect(brake.pauseOf("b", "ci")).toBe(1_000);
  expect(brake.pauseOf("b", "other")).toBe(0);
  brake.succeeded("a", "ci");
  expect([brake.pauseOf("a", "ci"), brake.pauseOf("b", "ci")]).toEqual([0, 0]);
});

test("a right password makes nobody forget what its source tried with other names", () => {
  const brake = new LoginBrake(options);
  for (let guess = 0; guess < 3; guess++) {
    brake.failed("a", `victim ${guess}`);
    brake.failed("a", "mallory");
    brake.succeeded("a", "mallory");
    expect(brake.hasFailed("a")).toBe(true);
  }
  expect(brake.pauseOf("a", "victim 3")).toBe(250);
  brake.failed("b", "ci");
  brake.succeeded("b", "ci");
  expect([brake.hasFailed("b"), brake.hasSucceeded("b"), brake.hasSucceeded("c")]).toEqual([false, true, false]);
});

test("an attempt counts by its source and network, and right credentials as no failure", () => {
  const brake = new LoginBrake(options);
  brake.failed("2001:db8:1:2::3", "ci");
  const places = { source: "2001:db8:1:2::/64", network: "2001:db8:1::/48" };
  expect(brake.attemptOf("2001:db8:1:2::4", { recognized: false })).toEqual({ ...places, failing: true, known: false });
  expect(brake.attemptOf("2001:db8:1:2::4", { recognized: true })).toEqual({ ...places, failing: false, known: true });
});
