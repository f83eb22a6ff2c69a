import { readFile, writeFile } from "node:fs/promises";

/** Resident bytes of a process: the most since the last call (or its start), and now. */
export async function resident(pid: number): Promise<{ readonly most: number; readonly after: number }> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  const of = (field: string) => Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(status)?.[1]) * 1024;
  await writeFile(`/proc/${pid}/clear_refs`, "5"); // proc(5): resets VmHWM
  return { most: of("VmHWM"), after: of("VmRSS") };
}
