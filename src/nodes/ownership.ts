// Whose a file on a node is: its first line says which installation wrote it, and which Pod of it.

import { lstat, readFile } from "node:fs/promises";

export interface Owner {
  /** Of all Pods that may take it over from each other: namespace/name of the DaemonSet. */
  readonly installation: string;
  /** uid of the Pod. With it a Pod that goes tells what is still its own from what its successor has taken over. */
  readonly pod: string;
}

const line = /^# Written by wharfinger nodes \((\S+) pod (\S+)\)/;

export function leadOf({ installation, pod }: Owner): string {
  return `# Written by wharfinger nodes (${installation} pod ${pod}), which removes it when it goes. A file without this line is left alone.`;
}

/** A file of nobody's that is no file of ours either: a folder, a symbolic link, somebody else's. */
export type Found =
  | { readonly state: "absent" }
  | { readonly state: "ours"; readonly owner: Owner; readonly text: string }
  | { readonly state: "foreign" };

export async function look(path: string): Promise<Found> {
  try {
    if (!(await lstat(path)).isFile()) return { state: "foreign" };
    const text = await readFile(path, "utf8");
    const [, installation, pod] = line.exec(text) ?? [];
    return installation === undefined || pod === undefined ? { state: "foreign" } : { state: "ours", owner: { installation, pod }, text };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return { state: "absent" };
    throw error;
  }
}
