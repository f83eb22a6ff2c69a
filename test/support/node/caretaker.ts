// Removes a node when the process that made it wants it, and also when that process is gone without a word: it waits at a pipe of which that one
// alone holds the other end. What a kubelet changes for the whole machine is as it was before.

import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";

import { onPath } from "../executables.ts";
import { program } from "../programs.ts";
import { removeControlGroup } from "./cgroups.ts";

/** What a kubelet writes for the whole machine. A node that ends while another runs sets them for that one too, which does not mind. */
const machineSettings = ["vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops"].map((name) => `/proc/sys/${name}`);

export interface Caretaker {
  /** Resolves when the node is gone. */
  finish(): Promise<void>;
}

/** Watches over `folder`, in whose file `name` stands what to end, once it is known. */
export function employCaretaker(folder: string): Caretaker {
  const log = `${folder}.log`;
  const output = openSync(log, "a");
  const before = machineSettings.map((file) => readFileSync(file, "utf8").trim());
  // In a process group of its own: Ctrl-C reaches the terminal's whole group.
  const child = spawn(process.execPath, [import.meta.filename, folder, ...before], { stdio: ["pipe", output, output], detached: true });
  closeSync(output);
  child.stdin?.on("error", () => {}); // it may have been ended
  const ended = new Promise<number | null>((resolve) => child.on("exit", resolve));
  return {
    finish: async () => {
      child.stdin?.end();
      const code = await ended;
      if (code !== 0) throw new Error(`the node in ${folder} could not be removed: ${readFileSync(log, "utf8")}`);
    },
  };
}

/** `before`: what the machine's settings were. */
async function care(folder: string, before: readonly string[]): Promise<void> {
  await text(process.stdin);
  const name = await readFile(join(folder, "name"), "utf8").catch(() => undefined);
  if (name !== undefined) {
    await removeControlGroup(name);
    // It went with the node's end, unless that had not been laid yet.
    await program((await onPath("ip")) ?? "ip", ["link", "delete", name]);
  }
  await Promise.all(machineSettings.map((file, index) => writeFile(file, `${before[index]}\n`)));
  await rm(folder, { recursive: true, force: true });
  // Only words of failure stay.
  await rm(`${folder}.log`, { force: true });
}

const [, , ofNode, ...before] = process.argv;
if (import.meta.main && ofNode !== undefined) await care(ofNode, before);
