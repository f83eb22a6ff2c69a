// Who changed what: the table behind GET /api/v1/activity. Append-only, pruned by age.

import type { ActivityEntry } from "../../api/control/activity.ts";
import { statement, type Queryable } from "./database.ts";

export interface NewActivity {
  readonly identity: string;
  readonly action: string;
  readonly repository?: string;
  readonly reference?: string;
  readonly detail?: unknown;
}

interface ActivityRow {
  readonly at: Date;
  readonly identity: string;
  readonly action: string;
  readonly repository: string | null;
  readonly reference: string | null;
  readonly detail: unknown;
}

const append = statement(
  "activity-append",
  "INSERT INTO activity (identity, action, repository, reference, detail) VALUES ($1, $2, $3, $4, $5)",
);
const newest = statement(
  "activity-newest",
  "SELECT at, identity, action, repository, reference, detail FROM activity ORDER BY id DESC LIMIT $1",
);
const prune = statement(
  "activity-prune",
  `DELETE FROM activity WHERE id IN (
     SELECT id FROM activity WHERE at < now() - interval '90 days' ORDER BY id LIMIT 1000)`,
);

export async function appendActivity(database: Queryable, entry: NewActivity): Promise<void> {
  const { identity, action, repository, reference, detail } = entry;
  await database.execute(append, [
    identity,
    action,
    repository ?? null,
    reference ?? null,
    detail === undefined ? null : JSON.stringify(detail),
  ]);
}

/** Newest first. */
export async function newestActivity(database: Queryable, limit: number): Promise<ActivityEntry[]> {
  const rows = await database.query<ActivityRow>(newest, [limit]);
  return rows.map(({ at, detail, ...entry }) => ({ ...entry, at: at.toISOString(), ...(detail === null ? {} : { detail }) }));
}

/** Entries older than 90 days, a batch of them. */
export async function pruneActivity(database: Queryable): Promise<number> {
  return database.execute(prune);
}
