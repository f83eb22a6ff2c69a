import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { readlinkSync } from "node:fs";
import { mkdtemp, readdir, rm, statfs, symlink, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, describe, expect, test } from "vitest";

import { blobStoreConformance } from "./blob-store.conformance.ts";
import { takeoverConformance } from "./takeover.conformance.ts";
import { namedObjectsConformance } from "./named-objects.conformance.ts";
import { FolderBlobStore, type FolderBlobStoreOptions } from "./folder-store.ts";

const folders: string[] = [];
const open: FolderBlobStore[] = [];

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-blobs-"));
  folders.push(folder);
  return folder;
}

async function openStore(options: Partial<FolderBlobStoreOptions> = {}): Promise<FolderBlobStore> {
  const store = await FolderBlobStore.open({ folder: options.folder ?? (await newFolder()), ...options });
  open.push(store);
  return store;
}

afterEach(async () => {
  for (const store of open.splice(0)) await store.close();
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

const openFresh = async () => {
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-blobs-"));
  const store = await FolderBlobStore.open({ folder });
  return {
    store,
    another: async () => store,
    dispose: async () => {
      await store.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
};
blobStoreConformance("FolderBlobStore", openFresh);
takeoverConformance("FolderBlobStore", openFresh);
namedObjectsConformance("FolderBlobStore", openFresh);

const announce = async () => undefined;

test("blobs fan out by the first two digits of their key, and the folder is for its owner alone", async () => {
  const folder = await newFolder();
  const store = await openStore({ folder });
  const writer = await store.create(announce);
  await writer.commit();
  expect(await readdir(join(folder, "objects"))).toEqual([writer.key.slice(0, 2)]);
  expect(await readdir(join(folder, "objects", writer.key.slice(0, 2)))).toEqual([writer.key]);
  expect(await readdir(join(folder, "uploading"))).toEqual([]);
});

describe("failures", () => {
  test("a failed fsync fails the upload for good, and nothing becomes readable", async () => {
    let broken = true;
    const store = await openStore({
      sync: () => (broken ? Promise.reject(Object.assign(new Error("i/o error"), { code: "EIO" })) : Promise.resolve()),
    });
    const writer = await store.create(announce);
    await writer.write([Buffer.from("x")]);
    await expect(writer.commit()).rejects.toMatchObject({ name: "BlobStoreError", code: "Failed" });
    broken = false;
    await expect(writer.commit()).rejects.toMatchObject({ code: "Failed" });
    await expect(store.open(writer.key)).rejects.toMatchObject({ code: "NotFound" });
    await writer.close();
  });

  test("a full disk is NoSpace", async () => {
    const folder = await newFolder();
    const store = await openStore({ folder });
    const key = randomUUID();
    // The device that is always full, where the upload's file would be.
    await symlink("/dev/full", join(folder, "uploading", key));
    const writer = await store.resume({ offset: 0, state: key }, announce);
    await expect(writer.write([Buffer.from("x")])).rejects.toMatchObject({ code: "NoSpace" });
    await writer.close();
  });

  test("under the low-water mark writes are refused and reads go on", async () => {
    const folder = await newFolder();
    const roomy = await openStore({ folder, lowWaterBytes: 1 });
    const writer = await roomy.create(announce);
    await writer.commit();
    await roomy.close();
    const full = await openStore({ folder, lowWaterBytes: Number.MAX_SAFE_INTEGER });
    await expect(full.create(announce)).rejects.toMatchObject({
      code: "NoSpace",
      message: expect.stringContaining("storage.lowWaterBytes"),
    });
    await expect(full.resume({ offset: 0, state: writer.key }, announce)).rejects.toMatchObject({ code: "NoSpace" });
    const reader = await full.open(writer.key);
    expect(reader.size).toBe(0);
    await reader.close();
  });
});

test("snapshots go on when the disk is too full for pushes, until half of the mark; the marker always", async () => {
  const folder = await newFolder();
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  const put = (store: FolderBlobStore, name: string) =>
    store.named.put(
      name,
      (async function* () {
        yield Buffer.from("x");
      })(),
    );
  const low = await openStore({ folder, lowWaterBytes: Math.floor(free * 1.5) });
  await expect(low.create(announce)).rejects.toMatchObject({ code: "NoSpace" });
  expect(await put(low, "backup/a/b/manifest.json")).toBe(1);
  await low.close();
  const lower = await openStore({ folder, lowWaterBytes: free * 3 });
  await expect(put(lower, "backup/a/c/manifest.json")).rejects.toMatchObject({ code: "NoSpace" });
  expect(await put(lower, "marker/a/1")).toBe(1);
});

describe("one process a folder", () => {
  const strange = "claim.00000000-0000-4000-8000-000000000000";

  test("a second one is refused and told which process has it", async () => {
    const folder = await newFolder();
    await openStore({ folder });
    await expect(openStore({ folder })).rejects.toMatchObject({
      code: "Locked",
      message: expect.stringContaining(`in use by process ${process.pid}`),
    });
  });

  test("closing lets the next one in", async () => {
    const folder = await newFolder();
    await (await openStore({ folder })).close();
    await (await openStore({ folder })).close();
    expect((await readdir(folder)).sort()).toEqual(["objects", "uploading", "writing"]);
  });

  test("what a process did not end writing is gone when the next one opens the folder", async () => {
    const folder = await newFolder();
    await (await openStore({ folder })).close();
    await writeFile(join(folder, "writing", "half"), "x");
    await openStore({ folder });
    expect(await readdir(join(folder, "writing"))).toEqual([]);
  });

  test("what a killed process left is taken over, what a living one has is not", async () => {
    const folder = await newFolder();
    const other = spawn(process.execPath, ["--input-type=module", "-e", opensAndWaits(folder)], { stdio: ["ignore", "pipe", "inherit"] });
    await once(other.stdout, "data");
    await expect(openStore({ folder })).rejects.toThrow(`in use by process ${other.pid}`);
    other.kill("SIGKILL");
    await once(other, "exit");
    await openStore({ folder });
    expect((await readdir(folder)).filter((name) => name.startsWith("claim."))).toHaveLength(1);
  });

  test("a pid that belongs to another process by now is no claim", async () => {
    const folder = await newFolder();
    const space = `${hostname()} ${readlinkSync("/proc/self/ns/pid")}`;
    await writeFile(join(folder, strange), JSON.stringify({ pid: 1, started: "never", space }));
    await openStore({ folder });
    expect(await readdir(folder)).not.toContain(strange);
  });

  test("a claim of another host counts while it is fresh", async () => {
    const folder = await newFolder();
    await writeFile(join(folder, strange), JSON.stringify({ pid: 7, started: "1", space: "elsewhere pid:[1]" }));
    await expect(openStore({ folder })).rejects.toThrow("in use by process 7 (elsewhere pid:[1])");
  });
});

function opensAndWaits(folder: string): string {
  const source = new URL("./folder-store.ts", import.meta.url).href;
  return `
    const { FolderBlobStore } = await import(${JSON.stringify(source)});
    await FolderBlobStore.open({ folder: ${JSON.stringify(folder)} });
    console.log("open");
    setInterval(() => {}, 1000);
  `;
}
