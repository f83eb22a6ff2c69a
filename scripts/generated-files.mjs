// What the generators share: write the files, or say which of them are not what the generator would write.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, relative } from "node:path";

function current(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

/** `files`: path → text. Returns the exit code. */
export function writeOrCheck(files, onlyCheck) {
  const stale = [...files].filter(([path, text]) => current(path) !== text);
  for (const [path, text] of stale) {
    if (onlyCheck) {
      process.stderr.write(`${relative(process.cwd(), path)} is not what it is generated from: run the generators (npm run generate)\n`);
      continue;
    }
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
  return onlyCheck && stale.length > 0 ? 1 : 0;
}
