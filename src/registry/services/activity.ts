// Who changed what. Pushes, deletes, publishes, restores and applies append; GET activity reads, newest first.

import type { ActivityEntry } from "../../api/control/activity.ts";
import { appendActivity, newestActivity, type NewActivity } from "../metadata/activity.ts";
import type { Queryable } from "../metadata/database.ts";

export type { NewActivity } from "../metadata/activity.ts";

const shown = 100;

/** Appends one entry, in the caller's transaction or on its own. */
export function noteActivity(database: Queryable, entry: NewActivity): Promise<void> {
  return appendActivity(database, entry);
}

/** The newest hundred, newest first, whatever they are about: for administrators (design: access.md). */
export function listActivity(database: Queryable): Promise<ActivityEntry[]> {
  return newestActivity(database, shown);
}
