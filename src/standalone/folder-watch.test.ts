import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";

import { listFolder, type FolderListing } from "./folder-files.ts";
import { restAfter, watchFolder } from "./folder-watch.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "wharfinger-config-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const listing = (count: number): FolderListing => ({
  files: Array.from({ length: count }, (_, index) => ({ name: `${index}.yaml`, path: `/${index}.yaml`, fingerprint: "" })),
  unreadable: [],
});

test.each([
  [0, 400],
  [400, 400],
  [700, 700],
  [1_000, 1_000],
  [50_000, 1_000],
])("a folder of %i files is left alone for %i ms", (count, rest) => {
  expect(restAfter(listing(count), 400)).toBe(rest);
});

test("places that could not be looked into are work too", () => {
  const unreadable = Array.from({ length: 600 }, (_, index) => ({ name: `${index}`, message: "cannot be read (EACCES)" }));
  expect(restAfter({ files: [], unreadable }, 10)).toBe(600);
});

// A rest of twenty times the delay would end after this test's patience.
test("a process that was held up while it looked heeds the next edit like any other", async () => {
  await writeFile(join(folder, "a.yaml"), "a: 1\n");
  let looks = 0;
  let heldUp = () => {};
  const stalled = new Promise<void>((resolve) => (heldUp = resolve));
  const look = async (path: string): Promise<FolderListing> => {
    const found = await listFolder(path);
    if (++looks !== 1) return found;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_500); // the event loop stands still
    heldUp();
    return found;
  };
  const { promise: told, resolve: tell } = Promise.withResolvers<FolderListing>();
  const stop = watchFolder({
    folder,
    known: await listFolder(folder),
    times: { pause: 10, settle: 10 },
    look,
    onChange: async (changed) => tell(changed),
    onError: (error) => expect.unreachable(String(error)),
  });
  await stalled;
  await writeFile(join(folder, "b.yaml"), "b: 1\n");
  expect((await told).files.map(({ name }) => name)).toEqual(["a.yaml", "b.yaml"]);
  await stop();
}, 25_000);

/** `a1 b2 !c`: the files a and b with these fingerprints, and c, which could not be looked into. */
const seen = (text: string): FolderListing => {
  const words = text.split(" ").filter((word) => word !== "");
  const files = words.filter((word) => !word.startsWith("!"));
  return {
    files: files.map(([name = "", fingerprint = ""]) => ({ name, path: `/${name}`, fingerprint })),
    unreadable: words.filter((word) => word.startsWith("!")).map((word) => ({ name: word.slice(1), message: "cannot be read (EIO)" })),
  };
};
const said = ({ files, unreadable }: FolderListing): string =>
  [...files.map(({ name, fingerprint }) => `${name}${fingerprint}`).sort(), ...unreadable.map(({ name }) => `!${name}`)].join(" ");

/** What counted after each change, when the looks find these. */
async function watched(known: string, looks: readonly string[], onRestless?: (name: string) => void): Promise<string[]> {
  const changes: string[] = [];
  const { promise: over, resolve: end } = Promise.withResolvers<void>();
  let at = 0;
  const stop = watchFolder({
    folder: "/",
    known: seen(known),
    times: { pause: 1, settle: 1 },
    look: async () => {
      const found = looks[at++];
      if (found === undefined) end();
      return seen(found ?? looks.at(-1) ?? "");
    },
    onChange: async (counts) => {
      if (at <= looks.length) changes.push(said(counts));
    },
    onError: (error) => expect.unreachable(String(error)),
    ...(onRestless === undefined ? {} : { onRestless }),
  });
  await over;
  await stop();
  return changes;
}

test.each([
  ["an edit counts when two looks agree", "a1 b1", ["a2 b1", "a2 b1"], ["a2 b1"]],
  ["one that does not rest holds up no other", "a1 b1", ["a2 b2", "a3 b2", "a4 b2", "a5 b2"], ["a1 b2"]],
  ["a new one that does not rest is not there yet", "a1", ["a1 b1", "a2 b2", "a2 b3", "a2 b3"], ["a2", "a2 b3"]],
  ["one that is replaced is never gone", "a1 b1", ["b1", "a2 b1", "b1", "a3 b1", "a3 b1"], ["a3 b1"]],
  ["one that is gone twice is gone", "a1 b1", ["b1", "b1"], ["b1"]],
  ["what could not be looked into once is forgotten", "a1", ["!a", "a1", "a1"], []],
  ["twice, and it counts as unreadable until two looks could", "a1 b1", ["!a b1", "!a b1", "a1 b1", "a1 b1"], ["b1 !a", "a1 b1"]],
  ["in turns: nothing is gone", "a1", ["!a", "a1", "!a", "a1", "!a", "a1"], []],
])("%s", async (_, known, looks, changes) => {
  expect(await watched(known, looks)).toEqual(changes);
});

test("one that does not come to rest is told of, once until it did", async () => {
  const told: string[] = [];
  const restless = (from: number) => Array.from({ length: 30 }, (_, index) => `a${String.fromCodePoint(from + index)} b1`);
  await watched("a1 b1", [...restless(0x4e00), "a9 b1", "a9 b1", ...restless(0x5e00)], (name) => told.push(name));
  expect(told).toEqual(["a", "a"]);
});
