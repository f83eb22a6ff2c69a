// What a process brings itself where it has no database and no bucket of others: a PostgreSQL in its data folder, and the bytes beside it.

import { rmSync } from "node:fs";
import { join } from "node:path";

import type { Logger } from "../observability/logger.ts";
import type { Closing } from "../registry/closing.ts";
import { dataFiles, type DataFolder } from "./data-folder.ts";
import { lostDatabase } from "./lost-database.ts";
import { startEmbeddedPostgres } from "./postgres/server.ts";

export interface EmbeddedOptions {
  readonly folder: DataFolder;
  readonly logger: Logger;
  /** Aborted: the start rejects with its reason, and the database is ended. */
  readonly signal: AbortSignal;
  /** `work` ends what would outlive a process that dies at once. Called as soon as there is something. */
  readonly beforeForcedExit: (work: () => void) => void;
  readonly closing: Closing;
}

export interface Embedded {
  readonly database: { readonly url: string };
  readonly databaseFolder: string;
  readonly blobs: { readonly folder: string };
  /** Resolves when the database has ended by itself. */
  readonly failed: Promise<Error>;
}

/** Rejects with an Error that says what to do. */
export async function startEmbedded({ folder, logger, signal, beforeForcedExit, closing }: EmbeddedOptions): Promise<Embedded> {
  const postgres = await startEmbeddedPostgres({
    folder: folder.postgres,
    signal,
    onLaunched: (pid) =>
      beforeForcedExit(() => {
        kill(pid);
        rmSync(join(folder.path, dataFiles.address), { force: true });
      }),
  });
  closing.add(() => postgres.stop());
  const lost = await lostDatabase({ made: postgres.made, data: folder.path, blobs: folder.blobs });
  if (lost !== undefined) logger.warn(lost);
  return {
    database: { url: postgres.url },
    databaseFolder: folder.postgres,
    blobs: { folder: folder.blobs },
    failed: postgres.died.then((lastWords) => new Error(lastWords)),
  };
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGQUIT"); // PostgreSQL: at once; it recovers at the next start
  } catch {
    // ended already
  }
}
