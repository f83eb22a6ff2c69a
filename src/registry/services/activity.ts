// Who changed what. Pushes, deletes, publishes, restores and applies append; GET activity reads, newest first.

import type { ActivityEntry } from "../../api/control.ts";
import { appendActivity, newestActivity, pruneActivity, type NewActivity } from "../metadata/activity.ts";
import type { Queryable } from "../metadata/database.ts";

export type { NewActivity } from "../metadata/activity.ts";

const shown = 100;

/** Appends one entry, in the caller's transaction or on its own. */
export function noteActivity(database: Queryable, entry: NewActivity): Promise<void> {
  return appendActivity(database, entry);
}

/** The newest first; entries about repositories that the caller may not pull are left out. */
export async function listActivity(database: Queryable, mayPull: (repository: string) => boolean): Promise<ActivityEntry[]> {
  // Looked for among the newest thousand: who may see little sees little.
  const entries = await newestActivity(database, 10 * shown);
  return entries.filter(({ repository }) => repository === null || mayPull(repository)).slice(0, shown);
}

/** Forgets what is older than 90 days. */
export async function forgetOldActivity(database: Queryable): Promise<void> {
  for (; (await pruneActivity(database)) > 0;);
}
