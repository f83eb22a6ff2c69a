// The control groups of a node: its pods, and the programs that make it. What is in them can be ended at once, whoever started it.

import { readdirSync, statSync } from "node:fs";
import { mkdir, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { answerTo } from "../eventually.ts";

const mount = "/sys/fs/cgroup";

/** Where every process is listed: version 2 alone, or beside the hierarchies of version 1. */
export const unified = (): string | undefined =>
  [mount, join(mount, "unified")].find((folder) => statSync(join(folder, "cgroup.controllers"), { throwIfNoEntry: false }) !== undefined);

/** Every hierarchy that a kubelet looks at, and the unified one. */
function hierarchies(): readonly string[] {
  if (unified() === mount) return [mount];
  return readdirSync(mount, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => join(mount, name));
}

/** Makes them. Resolves with the file into which a process of the node writes its id before it becomes a program. */
export async function createControlGroup(name: string): Promise<string> {
  const all = unified();
  if (all === undefined) throw new Error("A node needs the control groups of version 2, at least beside those of version 1.");
  for (const hierarchy of hierarchies()) {
    await mkdir(join(hierarchy, name), { recursive: true });
    // A new group of version 1 has neither processors nor memory, and takes no process until it has.
    if (hierarchy.endsWith("/cpuset"))
      for (const file of ["cpuset.cpus", "cpuset.mems"])
        await writeFile(join(hierarchy, name, file), await readFile(join(hierarchy, file)));
  }
  // Not the group itself: a group of version 2 that has groups with limits may have no processes.
  const services = join(all, name, "services");
  await mkdir(services, { recursive: true });
  return join(services, "cgroup.procs");
}

/** Ends every process in it, as a loss of power does, and removes it. Nothing to do is no error. */
export async function removeControlGroup(name: string): Promise<void> {
  const group = join(unified() ?? mount, name);
  if (statSync(group, { throwIfNoEntry: false }) !== undefined) {
    await writeFile(join(group, "cgroup.kill"), "1");
    await answerTo(`the processes of ${name} have ended`, async () =>
      /^populated 0$/m.test(await readFile(join(group, "cgroup.events"), "utf8")) ? true : undefined,
    );
  }
  for (const hierarchy of hierarchies()) await removeTree(join(hierarchy, name));
}

async function removeTree(folder: string): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) if (entry.isDirectory()) await removeTree(join(folder, entry.name));
  // A process that is being reaped still holds its group of version 1 for a moment.
  await answerTo(`${folder} is gone`, () => rmdir(folder).then(() => true, isGone));
}

function isGone(error: NodeJS.ErrnoException): true {
  if (error.code === "ENOENT") return true;
  throw error;
}
