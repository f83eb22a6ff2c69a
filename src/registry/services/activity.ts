// Who changed what. One transaction that changes something appends in it; what takes several, or none, is noted behind them (history.ts).

import type { ActivityEntry } from "../../api/control/activity.ts";
import { newestActivity } from "../metadata/activity.ts";
import type { Queryable } from "../metadata/database.ts";

const shown = 100;

/** The newest hundred, newest first, whatever they are about: for administrators (design: access.md). */
export function listActivity(database: Queryable): Promise<ActivityEntry[]> {
  return newestActivity(database, shown);
}
