// Processor seconds of a whole process tree, as the kernel counts them (Linux).

import { readdir, readFile } from "node:fs/promises";

/** USER_HZ is 100 on every Linux that Node runs on. */
const ticksPerSecond = 100;

interface Usage {
  readonly pid: number;
  readonly parent: number;
  readonly seconds: number;
  /** Proportional set size where the kernel gives it, so that shared memory counts once. */
  readonly memoryBytes: number;
}

async function usageOf(pid: number): Promise<Usage | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const rollup = await readFile(`/proc/${pid}/smaps_rollup`, "utf8").catch(() => "");
    const memory = Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? 0) * 1024;
    // With the children that have ended: a database's sessions come and go.
    const ticks = [11, 12, 13, 14].reduce((sum, index) => sum + Number(fields[index]), 0);
    return { pid, parent: Number(fields[1]), seconds: ticks / ticksPerSecond, memoryBytes: memory };
  } catch {
    return undefined; // gone meanwhile
  }
}

/** Of one process; 0 when it is gone. */
export async function processSeconds(pid: number): Promise<number> {
  return (await usageOf(pid))?.seconds ?? 0;
}

/** Sums over `root` and everything below it. */
export async function treeUsage(root: number): Promise<{ seconds: number; memoryBytes: number; processes: number }> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  const all = (await Promise.all(pids.map(usageOf))).filter((usage) => usage !== undefined);
  const inTree = new Set([root]);
  for (let grown = true; grown;) {
    grown = false;
    for (const { pid, parent } of all) {
      if (inTree.has(parent) && !inTree.has(pid)) {
        inTree.add(pid);
        grown = true;
      }
    }
  }
  const mine = all.filter(({ pid }) => inTree.has(pid));
  return { seconds: sum(mine.map((u) => u.seconds)), memoryBytes: sum(mine.map((u) => u.memoryBytes)), processes: mine.length };
}

const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0);
