// Folders that are small disks of their own, for a process that is started with them: tmpfs in a mount namespace which nobody else sees and
// which ends with the process. A machine that allows it neither to root nor in a user namespace cannot run such a test, and hears why.

import { execFile } from "node:child_process";
import { mkdir, open, rm, statfs } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Folder → size in bytes. */
export type SmallDisks = Readonly<Record<string, number>>;

/** What to start a process under. Makes the folders. Rejects when this machine does not let us mount. */
export async function underSmallDisks(disks: SmallDisks): Promise<readonly string[]> {
  for (const folder of Object.keys(disks)) await mkdir(folder, { recursive: true });
  const namespace = ["unshare", ...(process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"]), "--mount", "--"];
  const mounts = Object.entries(disks).map(([folder, bytes]) => `mount -t tmpfs -o size=${bytes},mode=0700 tmpfs '${folder}'`);
  const script = `${mounts.join(" && ")} && exec "$@"`;
  const under = [...namespace, "sh", "-c", script, "sh"];
  await run(under[0]!, [...under.slice(1), "true"]).catch((error: Error) => {
    throw new Error(
      `This test needs small disks: unshare and mount (package util-linux), as root with CAP_SYS_ADMIN or with user namespaces. ${error.message}`,
    );
  });
  return under;
}

/** A folder as the process `pid` sees it. */
export function seenBy(pid: number, folder: string): string {
  return `/proc/${pid}/root${folder}`;
}

/** Leaves `left` bytes free, about a page more or less. */
export async function fillUp(folder: string, left: number): Promise<void> {
  await makeRoom(folder);
  const { bavail, bsize } = await statfs(folder);
  const file = await open(join(folder, "ballast"), "w");
  try {
    const piece = Buffer.alloc(1024 * 1024, 1);
    for (let rest = bavail * bsize - left; rest > 0; rest -= piece.length) await file.write(piece, 0, Math.min(piece.length, rest));
  } catch (error) {
    // Who writes there meanwhile took the rest.
    if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
  } finally {
    await file.close();
  }
}

export async function makeRoom(folder: string): Promise<void> {
  await rm(join(folder, "ballast"), { force: true });
}
