import { expect, test } from "vitest";

import { keyString, type ResourceKey } from "../../domain/resource.ts";
import type { Commit, History, Memory } from "../../record/history.ts";
import { metOther, otherInstallation, Yielding } from "./other-installation.ts";

const now = new Date("2026-11-22T12:00:00Z");
const file: ResourceKey = { kind: "Upstream", namespace: "default", name: "hub" };

/** `commits`: oldest first, by whom and how many minutes ago. `left`: who recorded the file that has no resource here. */
function sign(commits: readonly (readonly [by: string, minutesAgo: number])[], left?: string) {
  const made = commits.map(([installation, ago], index) => {
    const date = new Date(now.getTime() - ago * 60_000).toISOString();
    return { installation, index, date } as Commit;
  });
  const writers = [...Map.groupBy(made, ({ installation = "" }) => installation)].flatMap(([id, theirs]) => {
    const [first, last] = [theirs[0], theirs.at(-1)];
    return first === undefined || last === undefined ? [] : [{ id, first, last }];
  });
  const memories = new Map(left === undefined ? [] : [[keyString(file), { installation: left } as Memory]]);
  const history = { writers: () => writers, memoryOf: (key: ResourceKey) => memories.get(keyString(key)) };
  const found = otherInstallation({ orphans: left === undefined ? [] : [file] }, history, { installation: "ours", now });
  return found === undefined ? undefined : `${found.id} ${found.sign}`;
}

test("a record is another one's while that wrote last, while files of it have no resource here, and while it writes on", () => {
  expect(sign([])).toBeUndefined();
  expect(sign([["ours", 1]])).toBeUndefined();
  expect(sign([["theirs", 1]])).toBe("theirs last");
  expect(sign([["theirs", 600]], "theirs")).toBe("theirs files");
  // A restored cluster that has taken all over, a moment after the old one's last commit.
  expect(sign([["theirs", 1], ["ours", 0]])).toBeUndefined(); // prettier-ignore
  expect(sign([["theirs", 1], ["ours", 0]], "theirs")).toBe("theirs files"); // prettier-ignore
  // A person brought back what was removed here, or the namespace was made anew.
  expect(sign([["theirs", 1], ["ours", 0]], "ours")).toBeUndefined(); // prettier-ignore
  // Two that write in turn: said until one of them is silent, whoever was last.
  expect(sign([["ours", 9], ["theirs", 8], ["ours", 7]])).toBe("theirs writes"); // prettier-ignore
  expect(sign([["ours", 30], ["theirs", 11], ["ours", 1]])).toBeUndefined(); // prettier-ignore
  expect(sign([["ours", 30], ["theirs", 11]])).toBe("theirs last"); // prettier-ignore
  expect(sign([["first", 9], ["second", 8]], "first")).toBe("first files"); // prettier-ignore
});

test("what another recorded is left to it from when it was seen to write beside, until it is silent for a day", () => {
  const hour = 3_600_000;
  const writers = [{ id: "theirs", last: { date: now.toISOString() } }] as unknown as ReturnType<History["writers"]>;
  const at = (hours: number, of = writers) => [{ writers: () => of }, new Date(now.getTime() + hours * hour)] as const;
  const yielding = new Yielding();
  expect([...yielding.to({ id: "theirs", sign: "last" }, ...at(0))]).toEqual([]);
  expect([...yielding.to({ id: "theirs", sign: "writes" }, ...at(0))]).toEqual(["theirs"]);
  expect([...yielding.to(undefined, ...at(23))]).toEqual(["theirs"]);
  expect([...yielding.to(undefined, ...at(24))]).toEqual([]);
  expect([...yielding.to({ id: "theirs", sign: "writes" }, ...at(25, []))]).toEqual([]);
});

test("it is said with both names, where it is, and what to do; a name that somebody made up is cut", () => {
  const ours = { installation: "ours", place: "at https://git.example/r.git (branch wharfinger)", placedBy: "record.remote.branch" };
  expect(metOther({ id: "theirs", sign: "last" }, ours)).toEqual({
    reason: "RecordOfAnotherInstallation",
    message:
      "The record at https://git.example/r.git (branch wharfinger) is another installation's: theirs wrote to it last, and this one is ours. " +
      "Nothing of that one's is removed. If it is a mistake, name another place (record.remote.branch). If it is meant, as after a restore, " +
      "there is nothing to do: it is this one's with its first commit.",
  });
  for (const what of ["writes", "files", "last"] as const)
    expect(metOther({ id: "x".repeat(10_000), sign: what }, ours).message.length).toBeLessThan(1_000);
});
