import { statement, type Queryable } from "./database.ts";

const alive = statement("readiness", "SELECT 1", { within: 2_000 });

/** Rejects when the database does not answer. */
export async function askDatabase(database: Queryable): Promise<void> {
  await database.query(alive);
}
