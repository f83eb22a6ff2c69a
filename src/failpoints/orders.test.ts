import { expect, test } from "vitest";

import { readOrders } from "./orders.ts";

test("orders say at which point what is done, how often", () => {
  expect([...readOrders("U2.committed:kill; G2.claimed:5%error;M1.locked:3*sleep(20);D1.removed:50%2*pause;")]).toEqual([
    ["U2.committed", { action: "kill", percent: 100, times: Infinity }],
    ["G2.claimed", { action: "error", percent: 5, times: Infinity }],
    ["M1.locked", { action: { sleep: 20 }, percent: 100, times: 3 }],
    ["D1.removed", { action: "pause", percent: 50, times: 2 }],
  ]);
  expect(readOrders("").size).toBe(0);
});

test.each(["U2.commited:kill", "U2.committed", "U2.committed:die", "U2.committed:sleep", "U2.committed:error(5)"])(
  "an order that would do nothing is refused: %s",
  (text) => {
    expect(() => readOrders(text)).toThrow(/^FAILPOINT: "/);
  },
);
