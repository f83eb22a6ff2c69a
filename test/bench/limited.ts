import { mkdir, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** A group of processes with a limit of memory in bytes, as a container has (control groups, first or second version; root). */
export interface LimitedGroup {
  /** `command` as it is started in the group. */
  command(command: readonly string[]): string[];
  remove(): Promise<void>;
}

export async function limitedGroup(limit: number): Promise<LimitedGroup> {
  const name = `wharfinger-bench-${process.pid}`;
  const first = join("/sys/fs/cgroup/memory", name);
  const second = join("/sys/fs/cgroup", name);
  const [folder, file] = await mkdir(first).then(
    () => [first, "memory.limit_in_bytes"] as const,
    async () => {
      await mkdir(second);
      return [second, "memory.max"] as const;
    },
  );
  await writeFile(join(folder, file), String(limit));
  return {
    command: (command) => ["sh", "-c", `echo $$ > ${join(folder, "cgroup.procs")}; exec "$@"`, "sh", ...command],
    remove: () => rmdir(folder),
  };
}
