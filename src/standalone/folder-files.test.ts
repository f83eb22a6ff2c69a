import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";

import { listFolder, restAfter, watchFolder, type FolderListing } from "./folder-files.ts";

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

// A rest of a multiple of the delay would end long after this test's patience.
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
}, 10_000);
