import { statement, type Queryable } from "./database.ts";

/** The times that triggers and leases use, in milliseconds. */
export interface GcTimes {
  readonly lease: number;
  readonly trashFor: number;
  readonly doomDelay: number;
}

const write = statement(
  "gc-settings-write",
  `UPDATE gc_settings
   SET lease = make_interval(secs => $1), trash_for = make_interval(secs => $2), doom_delay = make_interval(secs => $3)
   WHERE (lease, trash_for, doom_delay) IS DISTINCT FROM (make_interval(secs => $1), make_interval(secs => $2), make_interval(secs => $3))`,
);

/** Makes the settings known to the database; every process does it at its start. */
export async function writeGcTimes(database: Queryable, times: GcTimes): Promise<void> {
  await database.execute(write, [times.lease / 1000, times.trashFor / 1000, times.doomDelay / 1000]);
}
