// What a crash of ours left of PostgreSQL: a server that still runs (its socket is unknown to us, and two on one folder would be refused),
// children of a server that was killed, and its pid file, whose number may be a zombie's by now, or a stranger's.

import { execFile } from "node:child_process";
import { readdir, readFile, readlink, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Socket folders that server.ts makes. */
export const socketPrefix = "wharfinger-pg-";

/** How long each way of asking is given, milliseconds. */
const patience = 10_000;

/** Ends what still runs on `folder` and removes what says so. Rejects with an Error when something does not end. */
export async function clearLeftover(folder: string): Promise<void> {
  const file = join(folder, "postmaster.pid");
  const lines = await readFile(file, "utf8").then(
    (text) => text.split("\n"),
    () => undefined,
  );
  if (lines === undefined) return;
  const postmaster = Number(lines[0]);
  // Fast shutdown by the server itself, then everybody at once; children of a server that is gone end by themselves.
  await end(folder, (pid) => (pid === postmaster ? "SIGINT" : undefined));
  await end(folder, () => "SIGQUIT");
  await end(folder, () => "SIGKILL");
  const [stubborn] = await serversOn(folder);
  if (stubborn !== undefined)
    throw new Error(`A PostgreSQL server (process ${stubborn}) still runs on ${folder} and does not end. End it and start again.`);
  // Nobody works on the folder: PostgreSQL would go by the number alone, and refuse to start for as long as any process bears it.
  await rm(file, { force: true });
  const sockets = lines[4] ?? "";
  if (dirname(sockets) === tmpdir() && basename(sockets).startsWith(socketPrefix)) await rm(sockets, { recursive: true, force: true });
}

async function end(folder: string, signalFor: (pid: number) => NodeJS.Signals | undefined): Promise<void> {
  for (let waited = 0; waited < patience; waited += 50) {
    const servers = await serversOn(folder);
    if (servers.length === 0) return;
    if (waited === 0) for (const pid of servers) signal(pid, signalFor(pid));
    await sleep(50);
  }
}

function signal(pid: number, name: NodeJS.Signals | undefined): void {
  try {
    if (name !== undefined) process.kill(pid, name);
  } catch {
    // ended meanwhile
  }
}

/** Processes of PostgreSQL that work on the folder; zombies do not. */
async function serversOn(folder: string): Promise<number[]> {
  const real = await realpath(folder);
  if (process.platform !== "linux") return serverNamed(real, folder);
  const found = (await readdir("/proc"))
    .filter((name) => /^\d+$/.test(name))
    .map(async (name) => {
      // All of them work in their data folder. Neither link can be read of a zombie, or of other people's processes.
      const [cwd, program] = await Promise.all([readlink(`/proc/${name}/cwd`), readlink(`/proc/${name}/exe`)]).catch(() => ["", ""]);
      return cwd === real && basename(program ?? "").startsWith("postgres") ? [Number(name)] : [];
    });
  return (await Promise.all(found)).flat();
}

/** Without /proc: the process that the pid file names, when its command line names the folder. */
async function serverNamed(...spellings: readonly string[]): Promise<number[]> {
  const pid = Number((await readFile(join(spellings[0] ?? "", "postmaster.pid"), "utf8").catch(() => "")).split("\n")[0]);
  if (!Number.isInteger(pid) || pid <= 1) return [];
  const { stdout } = await run("ps", ["-o", "command=", "-p", String(pid)]).catch(() => ({ stdout: "" }));
  return stdout.includes("postgres") && spellings.some((spelling) => stdout.includes(spelling)) ? [pid] : [];
}
