// The programs of this machine that build the image. Plain Node.
import { execFile } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";

import { run as spawned } from "../bin/node-version.mjs";

const execute = promisify(execFile);

/** Program and the Debian package that has it. */
const needed = { buildah: "buildah", mmdebstrap: "mmdebstrap", tar: "tar", npm: "npm" };

/** Throws with what to do where the image cannot be built without Docker. */
export function requirePrograms() {
  const instead = "Or build it with Docker: docker buildx build .";
  if (process.platform !== "linux" || process.getuid() !== 0)
    throw new Error(`This way to build the image needs Linux and root: run it with sudo. ${instead}`);
  const missing = Object.keys(needed).filter((name) => !isOnPath(name));
  if (missing.length === 0) return;
  const packages = missing.map((name) => needed[name]).join(" ");
  throw new Error(
    `Not on this machine: ${missing.join(", ")}. Debian, Ubuntu: apt-get install ${packages} debian-archive-keyring. ${instead}`,
  );
}

/** Runs it to its end; its words go to stderr. Rejects unless it ends with 0. */
export async function run(command, args, options = {}) {
  const code = await spawned(command, args, { stdio: ["ignore", 2, 2], ...options });
  if (code !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${code}; its words are above.`);
}

/** Resolves with its stdout, trimmed. */
export async function said(command, args) {
  const { stdout } = await execute(command, args, { maxBuffer: 64 * 1024 * 1024 });
  return stdout.trim();
}

function isOnPath(name) {
  return (process.env.PATH ?? "").split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
