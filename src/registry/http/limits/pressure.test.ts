import { describe, expect, test } from "vitest";

import { Pressure } from "./pressure.ts";

function pressure(state: { waited?: number; perConnection?: number; transfers?: number; used?: number }) {
  const refused: string[] = [];
  const { waited = 0, perConnection = 0, transfers = 100, used = 0 } = state;
  const made = new Pressure({
    database: { line: { waited, perConnection } },
    transfers: { all: transfers },
    memory: () => ({ used, limit: 1000 }),
    onRefused: (reason) => refused.push(reason),
  });
  return { made, refused };
}

const asks = { asksDatabase: true, bytes: false };
const sends = { asksDatabase: false, bytes: true };
const harmless = { asksDatabase: false, bytes: false };
const comeAgain = expect.objectContaining({ code: "UNAVAILABLE", retryAfter: 2 });

test.each([
  ["a line that is old", { waited: 2_001 }, asks, "database"],
  ["a line that is long", { perConnection: 17 }, asks, "database"],
  ["little memory left", { used: 801 }, sends, "memory"],
] as const)("%s refuses what adds to it, and says when to come again", (_, state, request, reason) => {
  const { made, refused } = pressure(state);
  expect(() => made.refuse(request)).toThrow(comeAgain);
  expect(refused).toEqual([reason]);
  made.refuse(harmless);
});

test.each([
  ["nothing is the matter", { waited: 2_000, perConnection: 16, used: 800 }, { asksDatabase: true, bytes: true }],
  ["it asks nothing of the database", { waited: 5_000, perConnection: 100 }, sends],
  ["it has no bytes", { used: 999 }, asks],
  ["so few transfers do not fill the memory", { used: 999, transfers: 15 }, sends],
] as const)("nobody is refused when %s", (_, state, request) => {
  const { made, refused } = pressure(state);
  made.refuse(request);
  expect(refused).toEqual([]);
});

test("without being told it looks at this process", () => {
  const made = new Pressure({ database: { line: { waited: 0, perConnection: 0 } }, transfers: { all: 1000 } });
  expect(() => made.refuse(sends)).not.toThrow();
});

describe("long lists", () => {
  const mebibyte = 1024 * 1024;
  const list = ({ made }: ReturnType<typeof pressure>, sender: string) => {
    let end = () => {};
    const hold = made.list(sender, (work) => (end = work));
    return { hold, end: () => end() };
  };

  test("one sender has a quarter, all together what there is, and what was sent makes room", () => {
    const all = pressure({});
    const lists = ["a", "b", "c", "d"].map((sender) => list(all, sender));
    for (const { hold } of lists) hold(16 * mebibyte);
    expect(() => list(all, "a").hold(65_537)).toThrow(comeAgain);
    expect(() => list(all, "e").hold(65_537)).toThrow(comeAgain);
    expect(all.refused).toEqual(["memory", "memory"]);
    list(all, "e").hold(65_536);
    lists[0]!.end();
    list(all, "a").hold(8 * mebibyte);
    list(all, "e").hold(8 * mebibyte);
    expect(() => list(all, "f").hold(65_537)).toThrow(comeAgain);
  });

  test("a list counts while it is made, and ends when its client has left", () => {
    const all = pressure({});
    const growing = list(all, "a");
    for (let bytes = 1000; bytes <= 16 * mebibyte; bytes += 1000) growing.hold(bytes);
    expect(() => growing.hold(16 * mebibyte + 65_537)).toThrow(comeAgain);
    growing.end();
    expect(() => growing.hold(17 * mebibyte)).toThrow("did not wait");
    list(all, "a").hold(16 * mebibyte);
  });
});
