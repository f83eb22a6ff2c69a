// `wharfinger restore-metadata` for an installation of `wharfinger registry`: its database and its store, without a registry.

import type { Settings } from "../config/settings.ts";
import { openBlobStore } from "./blobs/open-store.ts";
import { openWhole } from "./closing.ts";
import { Database } from "./metadata/database.ts";
import type { DatabaseOptions } from "./metadata/database-options.ts";
import { blobsOf, databaseOf } from "./process.ts";
import { restoreMetadata, type RestoreMetadataOptions } from "./services/upkeep/restore-metadata.ts";
import type { StoredSnapshot } from "./services/upkeep/snapshot-manifest.ts";

export type RestoreOptions = Pick<RestoreMetadataOptions, "snapshot" | "onTable"> & { readonly settings: Settings };

/** Rejects with an Error that says what to do; the database is as it was then. */
export async function restoreInstallation(options: RestoreOptions): Promise<StoredSnapshot> {
  const { settings } = options;
  return restoreFrom({ ...options, database: databaseOf(settings), blobs: await blobsOf(settings) });
}

export function restoreFrom(
  options: RestoreOptions & { readonly database: DatabaseOptions; readonly blobs: Parameters<typeof openBlobStore>[0] },
): Promise<StoredSnapshot> {
  return openWhole(async (closing) => {
    const store = await openBlobStore(options.blobs, options.settings.storage);
    closing.add(() => store.close());
    const database = new Database({ ...options.database, connections: 2 });
    closing.add(() => database.close());
    const restored = await restoreMetadata({ ...options, database, named: store.named });
    await closing.run();
    return restored;
  });
}
