// One process a folder. Node has no flock, so a claim is a file with the name of its process:
// make mine, then look for others. Whoever came second sees the first; two at the same instant may both be refused, never both let in.

import { randomUUID } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";

import { BlobStoreError } from "./blob-store.ts";

interface Claimant {
  readonly pid: number;
  /** Start of the process in clock ticks since boot, where the kernel says so: a pid alone may belong to somebody else by now. */
  readonly started: string;
  /** Where the pid means something: host, and pid namespace of a container. */
  readonly space: string;
}

const claimName = /^claim\.[0-9a-f-]{36}$/;
const heartbeat = 5_000;
/** A claim from another host or container cannot be asked; it counts while it was touched within this time. */
const believedFor = 30_000;

export interface FolderClaim {
  release(): Promise<void>;
}

/** Claims `folder` for this process. Rejects with BlobStoreError Locked, naming the pid, while a living process has it. */
export async function claimFolder(folder: string): Promise<FolderClaim> {
  const mine = `claim.${randomUUID()}`;
  const path = join(folder, mine);
  const draft = join(folder, `draft.${mine}`);
  await writeFile(draft, JSON.stringify(self()), { mode: 0o600 });
  await rename(draft, path);
  try {
    await refuseOthers(folder, mine);
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  }
  const timer = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => undefined);
  }, heartbeat).unref();
  return {
    release: async () => {
      clearInterval(timer);
      await rm(path, { force: true });
    },
  };
}

async function refuseOthers(folder: string, mine: string): Promise<void> {
  const others = (await readdir(folder)).filter((name) => claimName.test(name) && name !== mine);
  for (const other of others) {
    const path = join(folder, other);
    const claimant = await readClaimant(path);
    if (claimant === undefined) continue;
    if (await isAlive(claimant, path)) {
      throw new BlobStoreError(
        "Locked",
        `The blob folder ${folder} is in use by process ${claimant.pid}${claimant.space === self().space ? "" : ` (${claimant.space})`}. One process can serve it at a time: stop that one, or give this one another folder.`,
      );
    }
    await rm(path, { force: true });
  }
}

async function readClaimant(path: string): Promise<Claimant | undefined> {
  try {
    return JSON.parse(await readFile(path, "utf8")) as Claimant;
  } catch {
    // Released meanwhile, or never whole (a crash of the machine): nobody is behind it.
    return undefined;
  }
}

async function isAlive(claimant: Claimant, path: string): Promise<boolean> {
  if (claimant.space !== self().space) {
    const touched = await stat(path).catch(() => undefined);
    return touched !== undefined && Date.now() - touched.mtimeMs < believedFor;
  }
  try {
    process.kill(claimant.pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
  }
  return startOf(claimant.pid) === claimant.started;
}

function self(): Claimant {
  return { pid: process.pid, started: startOf(process.pid), space: `${hostname()} ${pidNamespace()}`.trim() };
}

function startOf(pid: number): string {
  try {
    // Field 22 of proc(5) stat; the second field is the name in parentheses and may contain spaces.
    const line = readFileSync(`/proc/${pid}/stat`, "utf8");
    return line.slice(line.lastIndexOf(")") + 2).split(" ")[19] ?? "";
  } catch {
    return "";
  }
}

function pidNamespace(): string {
  try {
    return readlinkSync("/proc/self/ns/pid");
  } catch {
    return "";
  }
}
