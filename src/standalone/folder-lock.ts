// One process a data folder. The lock is one of the operating system's, taken through SQLite: it ends with the process that holds it, however
// that ends, so there is nothing stale to judge, no process id that could be somebody else's by now, and it also holds between containers
// that share the folder but not their process ids.

import { chmodSync, closeSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

/** SQLITE_BUSY. */
const busy = 5;

/** Nothing else may refer to them, and a handle that the garbage collector closes is a lock lost. */
const held = new Set<DatabaseSync>();

export interface FolderLock {
  release(): void;
}

/** Throws an Error that names the process in the way. The folder must exist. */
export function lockFolder(folder: string): FolderLock {
  // Not opened in any other way while it is held: POSIX drops a process's locks on a file when it closes any handle of it.
  const file = join(folder, "lock");
  forOwnerOnly(file);
  const database = new DatabaseSync(file);
  const owner = join(folder, "pid");
  try {
    database.exec("PRAGMA journal_mode = MEMORY; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    if ((error as { errcode?: number }).errcode !== busy) throw error;
    throw new Error(
      `The data folder ${folder} is in use by ${describeOwner(owner)}. Stop that process first, or choose another folder with --data.`,
      { cause: error },
    );
  }
  held.add(database);
  writeFileSync(owner, `${process.pid}\n`, { mode: 0o600 });
  return {
    release() {
      rmSync(owner, { force: true });
      held.delete(database);
      database.close();
    },
  };
}

/** Who may read a file may lock it, and would keep its owner out. Opens the file only where it makes it: see above. */
function forOwnerOnly(file: string): void {
  try {
    closeSync(openSync(file, "wx", 0o600));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    chmodSync(file, 0o600); // one of an earlier release, or of a restored backup
  }
}

function describeOwner(file: string): string {
  try {
    return `process ${readFileSync(file, "utf8").trim()}`;
  } catch {
    return "another process"; // it has the lock and has not written its number yet
  }
}
