// `wharfinger restore-metadata` for `wharfinger serve`: on its data folder, while it is stopped.

import { openWhole } from "../registry/closing.ts";
import { restoreFrom, type RestoreOptions } from "../registry/restore-installation.ts";
import type { StoredSnapshot } from "../registry/services/upkeep/snapshot-manifest.ts";
import { openDataFolder } from "./data-folder.ts";
import { startEmbeddedPostgres } from "./postgres/server.ts";

/** Rejects with an Error that says what to do, also while `serve` runs on the folder. */
export function restoreStandalone(options: RestoreOptions & { readonly data: string }): Promise<StoredSnapshot> {
  return openWhole(async (closing) => {
    const folder = await openDataFolder(options.data);
    closing.add(() => folder.release());
    const postgres = await startEmbeddedPostgres({ folder: folder.postgres });
    closing.add(() => postgres.stop());
    const restored = await restoreFrom({ ...options, database: { url: postgres.url }, blobs: { folder: folder.blobs } });
    await closing.run();
    return restored;
  });
}
