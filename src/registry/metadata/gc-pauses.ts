// Why nothing may be deleted in the store at the moment. Each reason has its own row and its own way to end, so that a word about one of them
// does not end another. `brake`: too much would go at once (storage.md, G5). `database-behind`: the database is older than its marker.
// `store-behind`: the store is older than its marker, or another one took its place. `foreign-marker`: another installation has put its marker
// into the store ("Backup").

import type { GcPauseReason } from "../../api/control/gc.ts";
import { statement, type Queryable } from "./database.ts";

export interface GcPause {
  readonly reason: GcPauseReason;
  /** RFC 3339. */
  readonly since: string;
  /** For a person: what was found. */
  readonly detail: string;
}

const list = statement("gc-pauses", "SELECT reason, to_json(since)#>>'{}' AS since, detail FROM gc_pauses ORDER BY since, reason");
const pause = statement("gc-pause", "INSERT INTO gc_pauses (reason, detail) VALUES ($1, $2) ON CONFLICT (reason) DO NOTHING");
const resume = statement("gc-resume", "DELETE FROM gc_pauses WHERE reason = ANY($1)");

export function readGcPauses(database: Queryable): Promise<GcPause[]> {
  return database.query<GcPause>(list);
}

/** False: it was paused for this reason before, and its detail stays. */
export async function pauseGc(database: Queryable, reason: GcPauseReason, detail: string): Promise<boolean> {
  return (await database.execute(pause, [reason, detail])) === 1;
}

/** Ends the pauses for these reasons; others go on. Returns how many there were. */
export function endGcPauses(database: Queryable, reasons: readonly GcPauseReason[]): Promise<number> {
  return database.execute(resume, [reasons]);
}
