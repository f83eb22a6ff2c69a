// The commands of a page of the docs, to be run as they stand there. A block `sh` is run; what stands behind the word says who runs it: `sh yours` is what a
// reader sets and a test has in another way.

import { readFile } from "node:fs/promises";

import { program, type ProgramResult } from "./programs.ts";

export interface CommandBlock {
  /** What stands behind `sh`; "" for nothing. */
  readonly mark: string;
  readonly text: string;
  /** Its first line. */
  readonly named: string;
}

/** In the page's order. */
export async function commandsOf(page: string): Promise<readonly CommandBlock[]> {
  const found = [...(await readFile(page, "utf8")).matchAll(/^```sh(.*)\n([^]*?)^```$/gm)];
  return found.map(([, mark = "", text = ""]) => ({ mark: mark.trim(), text, named: text.split("\n")[0] ?? "" }));
}

export interface Place {
  /** In the place of the checkout. */
  readonly folder: string;
  readonly environment: Readonly<Record<string, string>>;
}

/** To its end, or to its first command that fails. */
export function runCommands({ text }: CommandBlock, { folder, environment }: Place): Promise<ProgramResult> {
  return program("bash", ["-euo", "pipefail", "-c", text], { cwd: folder, env: environment, timeout: 590_000 });
}
