// What everything else stands on: the database with its schema, the blob store, and the marker that says they belong together.

import { randomUUID } from "node:crypto";

import type { BlobStore } from "../blobs/blob-store.ts";
import { openBlobStore } from "../blobs/open-store.ts";
import type { Closing } from "../closing.ts";
import { Database } from "../metadata/database.ts";
import { migrate, requireSchema } from "../metadata/migrate.ts";
import { checkServer } from "../metadata/server-check.ts";
import type { RegistryOptions } from "../options.ts";
import { backedUp } from "../services/upkeep/backup.ts";
import { Marker } from "../services/upkeep/marker.ts";

export interface Stores {
  readonly database: Database;
  readonly store: BlobStore;
  readonly marker: Marker;
}

/** Rejects when the database is newer than this program, or the store is another installation's or process's. */
export async function openStores(options: RegistryOptions, closing: Closing): Promise<Stores> {
  const { settings, logger, version } = options;
  const { readOnly } = settings;
  const database = new Database({
    ...options.database,
    readOnly,
    // At a stop the database may be gone first.
    onTrouble: (message) => {
      if (!closing.begun) logger.warn(message);
    },
  });
  closing.add(() => database.close());
  for (const warning of await checkServer(database, { readOnly })) logger.warn(warning);
  const store = await openBlobStore(options.blobs, { ...settings.storage, readOnly });
  closing.add(() => store.close());
  const backup = { database, named: store.named, times: settings.backup, version, logger, pod: randomUUID() };
  const onWait = (why: string) => logger.info(why);
  const migrated = readOnly ? await requireSchema(database) : await backedUp(backup, () => migrate(database, { onWait }));
  if (migrated.length > 0) logger.info({ migrations: migrated }, "the database schema is up to date");
  const marker = await openMarker(options, database, store);
  closing.add(() => marker.stop());
  return { database, store, marker };
}

async function openMarker(options: RegistryOptions, database: Database, { named }: BlobStore): Promise<Marker> {
  const { blobs, logger, acceptStore, commandFlags = "" } = options;
  const place = "folder" in blobs ? `the folder ${blobs.folder}` : `the bucket ${blobs.s3.bucket}`;
  const store = "s3" in blobs && blobs.s3.prefix !== "" ? `${place} under ${blobs.s3.prefix}` : place;
  const words = { store, flags: commandFlags };
  const { readOnly } = options.settings;
  const marker = await Marker.open({ database, named, logger, words, acceptStore, readOnly });
  if (!readOnly) marker.start();
  return marker;
}
