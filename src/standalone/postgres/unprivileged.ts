// PostgreSQL refuses to run as root. As root we start it as somebody else, in one of two ways:
//
// * a user namespace in which root is called `nobody`. Nothing is copied or chowned, and folders only root can enter
//   (a checkout or home with mode 0700) stay reachable. Containers often forbid it.
// * a real change of user. Then the binaries are copied to a place that user can reach, and the data folder is given to it.

import { execFile } from "node:child_process";
import { access, chown, cp, lchown, mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";

import type { PostgresBinaries } from "./binaries.ts";

const run = promisify(execFile);

/** `nobody` on Linux and most others. Owns nothing else here. */
const nobody = 65534;

/** How to start a program so that PostgreSQL accepts it. */
export interface Launcher {
  readonly binaries: PostgresBinaries;
  /** Wraps a command line. */
  command(program: string, args: readonly string[]): { file: string; args: string[] };
  /** Passed to `spawn`. */
  readonly identity: { readonly uid?: number; readonly gid?: number };
  /** Makes a folder (and what is in it) usable for the child. */
  adopt(folder: string): Promise<void>;
}

export async function createLauncher(binaries: PostgresBinaries, options: { forbidNamespace?: boolean } = {}): Promise<Launcher> {
  if (process.getuid?.() !== 0) return asOurselves(binaries);
  if (options.forbidNamespace !== true && (await namespacesWork())) return inNamespace(binaries);
  return asNobody(await reachableCopy(binaries));
}

function asOurselves(binaries: PostgresBinaries): Launcher {
  return { binaries, command: (file, args) => ({ file, args: [...args] }), identity: {}, adopt: async () => {} };
}

const namespaceArguments = ["--user", `--map-user=${nobody}`, `--map-group=${nobody}`, "--"];

async function namespacesWork(): Promise<boolean> {
  try {
    await run("unshare", [...namespaceArguments, "true"]);
    return true;
  } catch {
    return false;
  }
}

function inNamespace(binaries: PostgresBinaries): Launcher {
  return {
    binaries,
    command: (program, args) => ({ file: "unshare", args: [...namespaceArguments, program, ...args] }),
    identity: {},
    adopt: async () => {},
  };
}

function asNobody(binaries: PostgresBinaries): Launcher {
  return {
    binaries,
    command: (file, args) => ({ file, args: [...args] }),
    identity: { uid: nobody, gid: nobody },
    async adopt(folder) {
      await requireReachable(folder);
      await giveAway(folder);
    },
  };
}

/** Everybody must be able to enter the folders above; otherwise PostgreSQL would only say "permission denied". */
async function requireReachable(folder: string): Promise<void> {
  for (let above = dirname(resolve(folder)); ; above = dirname(above)) {
    const { mode } = await stat(above);
    if ((mode & 0o001) === 0) {
      throw new Error(
        `PostgreSQL cannot run as root, and as an unprivileged user it cannot enter ${above} (mode ${(mode & 0o777).toString(8)}). ` +
          `Choose a data folder that others may enter (--data /var/lib/wharfinger), run \`chmod o+x ${above}\`, or start Wharfinger as an ordinary user.`,
      );
    }
    if (above === dirname(above)) return;
  }
}

async function giveAway(folder: string): Promise<void> {
  await chown(folder, nobody, nobody);
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    await lchown(join(entry.parentPath, entry.name), nobody, nobody);
  }
}

async function reachableCopy(binaries: PostgresBinaries): Promise<PostgresBinaries> {
  if (binaries.home === undefined) return binaries;
  const { mtimeMs, size } = await stat(binaries.postgres);
  const copy = join(tmpdir(), `wharfinger-postgres-${size}-${Math.trunc(mtimeMs)}`);
  const found: PostgresBinaries = { postgres: join(copy, "bin", "postgres"), initdb: join(copy, "bin", "initdb"), home: copy };
  const complete = await access(found.postgres).then(
    () => stat(copy).then((s) => s.uid === 0 && (s.mode & 0o022) === 0),
    () => false,
  );
  if (complete) return found;
  // Made under another name and renamed, so that a copy that exists is whole.
  const partial = `${copy}.${process.pid}`;
  await mkdir(partial, { mode: 0o755 });
  await cp(binaries.home, partial, { recursive: true, verbatimSymlinks: true });
  await rm(copy, { recursive: true, force: true });
  await rename(partial, copy);
  return found;
}
