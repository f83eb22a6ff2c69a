// A database cluster: the folder that initdb makes, once.

import { spawn, type ChildProcess } from "node:child_process";
import { readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import type { Launcher } from "./unprivileged.ts";

/** The only role; the server is reachable through a private folder alone. */
export const user = "wharfinger";

/** Makes the cluster unless it is there whole. Resolves with true when it is new. */
export async function initialise(launcher: Launcher, folder: string): Promise<boolean> {
  await launcher.adopt(folder);
  const entries = await readdir(folder);
  if (entries.includes("PG_VERSION") && entries.includes("wharfinger-initialised")) return false;
  // initdb was cut off half way: nothing was ever served from it.
  for (const entry of entries) await rm(join(folder, entry), { recursive: true, force: true });
  const args = ["-D", folder, "--username", user, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-instructions"];
  const { file, args: argv } = launcher.command(launcher.binaries.initdb, args);
  await new Promise<void>((resolve, reject) => {
    const child = spawn(file, argv, {
      ...launcher.identity,
      stdio: ["ignore", "ignore", "pipe"],
      env: { PATH: process.env["PATH"] ?? "", LC_ALL: "C" },
    });
    const lastWords = collect(child);
    child.on("error", reject);
    child.on("exit", (code) => (code === 0 ? resolve() : reject(new Error(explained(lastWords(), code)))));
  });
  await writeFile(join(folder, "wharfinger-initialised"), "");
  await launcher.adopt(folder);
  return true;
}

function explained(lastWords: string, code: number | null): string {
  const [, nameless] = /could not look up effective user ID (\d+)/.exec(lastWords) ?? [];
  if (nameless === undefined) return `initdb failed (exit code ${code}): ${lastWords}`;
  return `PostgreSQL makes no database for the user ${nameless}, who has no line in /etc/passwd. Run as a user who has one; in the image that is 65532.`;
}

/** What a program said last on stderr. */
export function collect(child: ChildProcess): () => string {
  let text = "";
  child.stderr?.setEncoding("utf8").on("data", (chunk: string) => (text = (text + chunk).slice(-4000)));
  return () => text.trim();
}
