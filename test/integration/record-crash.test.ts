// kill -9 of a process that writes the record, at whatever instruction: the next start mends it, and nothing that was said is lost.

import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { afterAll, expect, test } from "vitest";

import { createLogger } from "../../src/observability/logger.ts";
import { openRecord } from "../../src/record/repository.ts";

const writer = fileURLToPath(new URL("../support/record-writer.ts", import.meta.url));
const rounds = 25;
const folder = mkdtempSync(join(tmpdir(), "wharfinger-crash-"));
const git = (...args: string[]) => execFileSync("git", args, { cwd: folder, encoding: "utf8" });

test(`${rounds} kills while the record is written`, async () => {
  const said: string[] = [];
  // On a machine that gets less done in its time there are more of them.
  for (let round = 0; round < rounds || said.length <= rounds; round++) said.push(...(await writeAndKill(round)));
  const record = await openRecord({ folder, author: { name: "W", email: "w@localhost" }, logger: createLogger({ level: "silent" }) });
  await record.close();
  const history = new Set(git("log", "--format=%H").split("\n"));
  expect(said.filter((id) => !history.has(id))).toEqual([]);
  expect(git("status", "--porcelain")).toBe("");
  expect(git("fsck", "--strict", "--no-dangling")).toBe("");
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Lets it write for a while that differs from round to round, from its first instruction on. Returns what it said was committed. */
async function writeAndKill(round: number): Promise<string[]> {
  const child = spawn(process.execPath, [writer, folder], {
    stdio: ["ignore", "pipe", "inherit"],
    detached: true,
  });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (output += chunk));
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const opened = new Promise<void>((resolve) => child.stdout.once("data", () => resolve()));
  // Some die while they open, most while they write.
  if (round % 4 !== 0) await opened;
  await new Promise((resolve) => setTimeout(resolve, (round * 97) % 700));
  // With its git children: as when a container or a machine ends.
  process.kill(-(child.pid ?? 0), "SIGKILL");
  await ended;
  return output
    .split("\n")
    .slice(0, -1)
    .filter((line) => /^[0-9a-f]{40}$/.test(line));
}
