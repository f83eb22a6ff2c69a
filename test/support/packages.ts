// Debian's packages, where we may install them.

import { execFile } from "node:child_process";
import { promisify } from "node:util";

import { onPath } from "./executables.ts";

const run = promisify(execFile);

/** With apt; does nothing where there is none, or where we are not root. */
export async function installPackages(packages: readonly string[]): Promise<void> {
  const apt = await onPath("apt-get");
  if (apt === undefined || process.getuid?.() !== 0) return;
  process.stderr.write(`installing ${packages.join(", ")}\n`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const options = { env, maxBuffer: 64 * 1024 * 1024 };
  await run(apt, ["update", "-qq"], options);
  await run(apt, ["install", "-y", "-qq", "--no-install-recommends", ...packages], options);
}
