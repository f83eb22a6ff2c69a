// The id of an installation: made once, kept beside the repository's own files.

import { randomUUID } from "node:crypto";
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** `directory`: the `.git` folder, with its folder `wharfinger`. */
export async function installationOf(directory: string): Promise<string> {
  const file = join(directory, "wharfinger", "installation");
  const known = (await readFile(file, "utf8").catch(() => "")).trim();
  if (known !== "") return known;
  const made = randomUUID();
  await writeFile(`${file}.new`, `${made}\n`, { flush: true });
  await rename(`${file}.new`, file);
  return made;
}
