import { spawn, type ChildProcess } from "node:child_process";
import { chmod, mkdir, mkdtemp, readFile, realpath, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";

import { dataFlag, openDataFolder } from "./data-folder.ts";

let parent: string;
const children: ChildProcess[] = [];
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), "wharfinger-data-"));
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  await rm(parent, { recursive: true, force: true });
});

const mode = async (path: string) => ((await stat(path)).mode & 0o777).toString(8);
const passable = process.getuid?.() === 0 ? "711" : "700";

/** Another process that opens the folder; resolves with what it said. */
async function openElsewhere(folder: string): Promise<{ child: ChildProcess; said: string }> {
  const script = `import { openDataFolder } from ${JSON.stringify(new URL("./data-folder.ts", import.meta.url).href)};
    openDataFolder(${JSON.stringify(folder)}).then(() => { console.log("open"); setInterval(() => {}, 1000); }, (error) => console.log(error.message));`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  const said = await new Promise<string>((resolve) => child.stdout.once("data", (chunk: Buffer) => resolve(chunk.toString().trim())));
  return { child, said };
}

const ended = (child: ChildProcess) => new Promise((resolve) => child.once("exit", resolve));

test("makes the folder for its owner only, with a token that stays", async () => {
  const path = join(parent, "deep", "data");
  const folder = await openDataFolder(path);
  const token = await folder.adminToken();
  expect(token).toMatch(/^[\w-]{43}$/);
  expect([await mode(path), await mode(join(path, "admin-token")), await mode(folder.blobs), await mode(folder.record)]).toEqual([
    passable,
    "600",
    "700",
    "700",
  ]);
  await folder.announce("http://127.0.0.1:5000");
  expect([await mode(join(path, "lock")), await mode(join(path, "pid")), await mode(join(path, "address"))]).toEqual(["600", "600", "600"]);
  expect(await readFile(join(path, "address"), "utf8")).toBe("http://127.0.0.1:5000\n");
  await folder.release();
  await expect(readFile(join(path, "address"))).rejects.toThrow("ENOENT");

  await chmod(join(path, "admin-token"), 0o644);
  const again = await openDataFolder(path);
  expect(await again.adminToken()).toBe(token);
  expect(await mode(join(path, "admin-token"))).toBe("600");
  await again.release();
});

test("a token that a crash left empty is made anew", async () => {
  await writeFile(join(parent, "admin-token"), "");
  const folder = await openDataFolder(parent);
  const token = await folder.adminToken();
  expect(token).toMatch(/^[\w-]{43}$/);
  expect(await readFile(join(parent, "admin-token"), "utf8")).toBe(`${token}\n`);
  await folder.release();
});

test("a second process is refused by name, until the first one ends, however it ends", async () => {
  const { child, said } = await openElsewhere(parent);
  expect(said).toBe("open");
  const refusal = `The data folder ${parent} is in use by process ${child.pid}. Stop that process first, or choose another folder with --data.`;
  await expect(openDataFolder(parent)).rejects.toThrow(refusal);
  expect((await openElsewhere(parent)).said).toBe(refusal);

  child.kill("SIGKILL");
  await ended(child);
  const folder = await openDataFolder(parent);
  await folder.release();
});

test("a lock file that others could read, and so lock, is closed to them, without letting go of a lock that is held", async () => {
  await writeFile(join(parent, "lock"), "");
  await chmod(join(parent, "lock"), 0o644);
  const folder = await openDataFolder(parent);
  expect(await mode(join(parent, "lock"))).toBe("600");
  await expect(openDataFolder(parent)).rejects.toThrow(`in use by process ${process.pid}`);
  expect((await openElsewhere(parent)).said).toContain(`in use by process ${process.pid}`);
  await folder.release();
});

test("what a killed process left is no lock, also when somebody else bears its number now", async () => {
  await writeFile(join(parent, "pid"), `${process.ppid}\n`);
  await writeFile(join(parent, "lock"), "");
  await writeFile(join(parent, "address"), "http://127.0.0.1:1\n");
  const folder = await openDataFolder(parent);
  expect(await readFile(join(parent, "pid"), "utf8")).toBe(`${process.pid}\n`);
  await expect(readFile(join(parent, "address"))).rejects.toThrow("ENOENT");
  await folder.release();
});

test("one folder has one spelling", async () => {
  await mkdir(join(parent, "real"));
  await symlink("real", join(parent, "link"));
  const folder = await openDataFolder(relative(process.cwd(), join(parent, "link")));
  expect(folder.postgres).toBe(join(await realpath(parent), "real", "postgres"));
  await expect(openDataFolder(join(parent, "real"))).rejects.toThrow(`in use by process ${process.pid}`);
  await folder.release();
});

test("a file in the place of the folder", async () => {
  const path = join(parent, "file");
  await writeFile(path, "");
  await expect(openDataFolder(path)).rejects.toThrow(
    `The data folder ${path} cannot be used: it is not a folder. Choose another one with --data.`,
  );
  await expect(openDataFolder(join(path, "below"))).rejects.toThrow("it is not a folder");
});

test("a failure on the way lets go of the lock", async () => {
  await writeFile(join(parent, "blobs"), "");
  await expect(openDataFolder(parent)).rejects.toThrow("EEXIST");
  await rm(join(parent, "blobs"));
  await (await openDataFolder(parent)).release();
});

test.each([
  ["data", ""],
  ["other", " --data other"],
  ["/srv/my registry", " --data '/srv/my registry'"],
])("a command on the folder %j ends with %j", (path, flag) => {
  expect(dataFlag(path)).toBe(flag);
});
