// Whether a COMMIT happened whose answer got lost. Every transaction that writes leaves a mark, a row under a fresh token: who finds the row knows
// that it was committed. The number of a transaction alone does not say so: a server that crashed or was replaced before the standby heard of it
// gives the same number to somebody else. Rows go after an hour.

import { randomUUID } from "node:crypto";

import { codeOf } from "./sql-state.ts";
import { statement, type Queryable } from "./statement.ts";

export interface CommitMark {
  readonly token: string;
  /** The database's time, as text: numbers of JavaScript are too coarse. */
  readonly at: string;
  readonly xid: string;
}

export type CommitOutcome = "committed" | "rolled back" | "in progress";

/** The mark, for the message that begins the transaction: no round trip of its own. `marked` reads the answer. */
export function markFor(token: string): string {
  return `INSERT INTO commits (token) VALUES ('${token}') RETURNING at::text, pg_current_xact_id()::text AS xid`;
}

export const newToken = randomUUID;

export function marked(token: string, row: unknown): CommitMark {
  return { token, ...(row as { at: string; xid: string }) };
}

// A write, so that its own COMMIT waits for the synchronous standby, which then has everything before it: a server that was told to stop waiting
// shows rows that a failover would lose. Asked twice it says the same twice.
const confirm = statement("commit-confirm", "UPDATE commits SET token = token WHERE at = $1::text::timestamptz AND token = $2");
const look = statement("commit-status", "SELECT pg_xact_status($1::text::xid8) AS status");
const prune = statement(
  "commits-prune",
  `DELETE FROM commits WHERE ctid = ANY(ARRAY(SELECT ctid FROM commits WHERE at < now() - interval '1 hour' LIMIT 10000))`,
);

/**
 * A transaction may end between the look for its row and the look at its number, so who finds it over without a row looks again. Rejects with
 * DatabaseUnavailable.
 */
export async function outcomeOf(database: Queryable, mark: CommitMark): Promise<CommitOutcome> {
  if (await isConfirmed(database, mark)) return "committed";
  if (await isRunning(database, mark)) return "in progress";
  return (await isConfirmed(database, mark)) ? "committed" : "rolled back";
}

async function isConfirmed(database: Queryable, { at, token }: CommitMark): Promise<boolean> {
  return (await database.execute(confirm, [at, token])) === 1;
}

async function isRunning(database: Queryable, { xid }: CommitMark): Promise<boolean> {
  try {
    const [row] = await database.query<{ status: string | null }>(look, [xid]);
    return row?.status === "in progress";
  } catch (error) {
    // "transaction ID is in the future": the server that answers never heard of it.
    if (codeOf(error) === "22023") return false;
    throw error;
  }
}

/** Deletes marks that nobody asks for any more; at most a batch. */
export function pruneCommits(database: Queryable): Promise<number> {
  return database.execute(prune);
}
