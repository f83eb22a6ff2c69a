// kill -9 of the operator while a person's push is under way, before git has it, while git reads it and after git is done: the branch is where it was
// or where the push brought it, and what the person then does by rights leads on.

import { randomBytes } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test, vi } from "vitest";

import { killedAt } from "../support/drill-world.ts";
import { eventually } from "../support/eventually.ts";
import { offlineUpstream, OperatorWorld } from "../support/operator-world.ts";
import { gitAsPerson } from "../support/persons-git.ts";
import { processToken } from "../support/serving-process.ts";

let world: OperatorWorld;
let clone: string;

beforeAll(async () => {
  vi.stubEnv("GIT_TERMINAL_PROMPT", "0");
  world = await OperatorWorld.open();
  clone = join(world.folder, "clone");
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await world?.close();
});

/** Where the operator that was started last serves the record. */
const url = () => /the record for git on (\S+\/record\.git)/.exec(world.operator?.ready ?? "")?.[1] ?? "";
/** With an administrator's token. */
const address = () => url().replace("http://", `http://git:${processToken}@`);

const person = (...args: readonly string[]) => gitAsPerson(clone, ...args);
const branch = () => world.git("rev-parse", "refs/heads/wharfinger");

/** Processes that serve people's git from this folder. */
async function gitsOf(record: string): Promise<readonly string[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const environments = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/environ`, "utf8").catch(() => "")));
  return pids.filter((_, index) => environments[index]?.split("\0").includes(`GIT_PROJECT_ROOT=${join(record, ".git")}`));
}

/** One that leads: until then nobody is shown the record. */
async function startLeading(options: Parameters<OperatorWorld["startOperator"]>[0] = {}): Promise<void> {
  // Without its Lease nobody waits until that of a dead one runs out.
  await world.kubectl(["delete", "lease/wharfinger", "--ignore-not-found"]);
  await world.startOperator(options);
  const headers = { authorization: `Bearer ${processToken}` };
  const answered = () => fetch(`${url()}/info/refs?service=git-receive-pack`, { headers });
  await eventually(async () => expect((await answered()).status).toBe(200));
}

test("a record, and a person's clone of it", async () => {
  await world.startOperator();
  await world.apply(offlineUpstream());
  await world.hasCondition("Ready", "upstream/chainguard");
  gitAsPerson(world.folder, "clone", "-q", address(), "clone");
  expect(person("rev-parse", "HEAD")).toBe(branch());
  await world.operator?.kill9();
});

test.each([
  ["push.receiving", "before"],
  // More than a pipe holds: git has the beginning of it.
  ["push.started", "before"],
  ["push.received", "after"],
] as const)("killed at %s", async (step, where) => {
  await startLeading(killedAt(step));
  const before = branch();
  await writeFile(join(clone, "theirs.bin"), randomBytes(2 * 1024 * 1024));
  person("add", "theirs.bin");
  person("commit", "-qm", step);
  // Whose connection breaks hears of no success. In one request: git would ask first whether it may send as much.
  expect(() => person("-c", "http.postBuffer=64m", "push", "-q", address(), "HEAD:wharfinger")).toThrow(/curl|hung up|RPC failed/);
  await world.operator?.exited;
  expect(world.operator?.logs()).toContain(`failpoint ${step}: kill`);
  // git hears of the end, and does not turn on it.
  await eventually(async () => expect(await gitsOf(world.record)).toEqual([]));
  expect(branch()).toBe(where === "before" ? before : person("rev-parse", "HEAD"));
  world.git("fsck", "--strict", "--no-dangling");
});

test("the next one serves what had arrived, and the person pushes on", async () => {
  await startLeading();
  expect(branch()).toBe(person("rev-parse", "HEAD"));
  person("commit", "-q", "--allow-empty", "-m", "the last word");
  person("push", "-q", address(), "HEAD:wharfinger");
  expect(world.git("log", "-4", "--format=%s")).toBe("the last word\npush.received\npush.started\npush.receiving");
  await eventually(async () => expect(await world.control.record()).toMatchObject({ revision: branch() }));
  await eventually(() => expect(world.git("status", "--porcelain")).toBe(""));
});
