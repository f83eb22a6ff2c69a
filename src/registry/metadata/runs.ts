// Runs of jobs: registered by the operator or by hand, one at a time for a policy, heard from while they work (design: operator.md, "Jobs").

import type { ApplyResult } from "../../api/control/retention.ts";
import type { Run, RunRequest, RunUpdate } from "../../api/control/runs.ts";
import { isUuid } from "../../domain/uuid.ts";
import { statement, type Queryable } from "./database.ts";

export type StoredRun = Omit<Run, "approve" | "spec" | "upstream" | "keys" | "trustedRoot" | "anchors" | "settled">;

interface RunRow {
  readonly id: string;
  readonly kind: Run["kind"];
  readonly policy: string;
  readonly trigger: string;
  readonly state: Run["state"];
  readonly generation: number;
  readonly started_at: Date;
  readonly finished_at: Date | null;
  readonly progress: unknown;
  readonly result: unknown;
}

const columns = "id, kind, policy, trigger, state, generation, started_at, finished_at, progress, result";

const lock = statement("run-lock", "SELECT pg_advisory_xact_lock(hashtext('wharfinger-run'), hashtext($1))");
/** Held until the commit: the numbers of ends are seen in their order. */
const lockEnds = statement("run-lock-ends", "SELECT pg_advisory_xact_lock(hashtext('wharfinger-runs-ended'))");
const abandon = statement(
  "run-abandon",
  `UPDATE runs SET state = 'failed', finished_at = now(), ended = nextval('runs_ended'),
     result = coalesce(result, '{}') || jsonb_build_object('message', 'The job was not heard from any more.')
   WHERE kind = $1 AND policy = $2 AND state = 'running' AND touched_at < now() - make_interval(secs => $3)`,
);
const underWay = statement(
  "run-under-way",
  `SELECT ${columns} FROM runs WHERE kind = $1 AND policy = $2 AND state = 'running' ORDER BY started_at DESC LIMIT 1`,
);
const insert = statement("run-insert", `INSERT INTO runs (kind, policy, trigger, generation) VALUES ($1, $2, $3, $4) RETURNING ${columns}`);

/** Registers a run, or answers the one that is under way. One that was silent for `silence` seconds is given up. */
export async function insertRun(
  transaction: Queryable,
  request: RunRequest & { readonly generation: number; readonly silence: number },
): Promise<{ readonly started: StoredRun; readonly abandoned: number } | { readonly underWay: StoredRun }> {
  const { kind, policy, trigger, generation, silence } = request;
  await transaction.query(lock, [`${kind} ${policy}`]);
  await transaction.query(lockEnds);
  const abandoned = await transaction.execute(abandon, [kind, policy, silence]);
  const [running] = await transaction.query<RunRow>(underWay, [kind, policy]);
  if (running !== undefined) return { underWay: stored(running) };
  const [row] = await transaction.query<RunRow>(insert, [kind, policy, trigger, generation]);
  if (row === undefined) throw new Error("INSERT INTO runs returned no row");
  return { started: stored(row), abandoned };
}

const byId = statement("run-by-id", `SELECT ${columns} FROM runs WHERE id = $1`);

export async function runById(queryable: Queryable, id: string): Promise<StoredRun | undefined> {
  if (!isUuid(id)) return undefined;
  const [row] = await queryable.query<RunRow>(byId, [id]);
  return row === undefined ? undefined : stored(row);
}

const update = statement(
  "run-update",
  `UPDATE runs SET
     touched_at = now(),
     progress = coalesce($2, progress),
     state = coalesce($3, state),
     result = CASE WHEN jsonb_typeof(result) = 'object' AND jsonb_typeof($4::jsonb) = 'object' THEN result || $4::jsonb ELSE coalesce($4::jsonb, result) END,
     finished_at = CASE WHEN $3 IS NULL THEN finished_at ELSE now() END,
     ended = CASE WHEN $3 IS NULL THEN ended ELSE nextval('runs_ended') END
   WHERE id = $1 AND state = 'running'
   RETURNING ${columns}`,
);

/**
 * Undefined when the run has ended (or never was). What a result says goes over what was noted of the run; the rest of that stays, because who tells
 * of the end may not know what the run has deleted.
 */
export async function updateRun(transaction: Queryable, id: string, change: RunUpdate): Promise<StoredRun | undefined> {
  if (change.state !== undefined) await transaction.query(lockEnds);
  const [row] = await transaction.query<RunRow>(update, [id, json(change.progress), change.state ?? null, json(change.result)]);
  return row === undefined ? undefined : stored(row);
}

const noteApplied = statement(
  "run-note-applied",
  `UPDATE runs SET result = CASE WHEN jsonb_typeof(result) = 'object' THEN result || $3::jsonb ELSE $3::jsonb END
   WHERE id = $1 AND kind = 'prune' AND policy = $2 AND state <> 'succeeded'`,
);

/** Entries of an apply that are kept of a run. */
const maxApplied = 1_000;

/**
 * What the run deleted, kept from the moment it is known: its job may die before it reports. The job's own result goes over it. A run that somebody
 * gave up meanwhile has deleted it all the same.
 */
export async function noteRunApplied(
  queryable: Queryable,
  { id, policy, applied }: { readonly id: string; readonly policy: string; readonly applied: ApplyResult },
): Promise<void> {
  if (!isUuid(id)) return;
  const listed = { ...applied, deleted: applied.deleted.slice(0, maxApplied), kept: applied.kept.slice(0, maxApplied) };
  await queryable.execute(noteApplied, [
    id,
    policy,
    json({ plan: applied.plan, deleted: applied.deleted.length, bytes: applied.bytes, applied: listed }),
  ]);
}

const endOf = statement("run-end-of", `SELECT ended::text AS "end" FROM runs WHERE id = $1 AND ended IS NOT NULL`);

/** The place of a run in the order of ends; undefined when it has not ended, or is not known (any more). */
export async function endOfRun(queryable: Queryable, id: string): Promise<string | undefined> {
  if (!isUuid(id)) return undefined;
  const [row] = await queryable.query<{ readonly end: string }>(endOf, [id]);
  return row?.end;
}

/** Runs that are read at once: the result of one may have thousands of lines. */
const maxAtOnce = 20;

const endedAfter = statement(
  "run-ended-after",
  `SELECT ${columns} FROM runs WHERE ended > $1 AND ($2::text IS NULL OR kind = $2) ORDER BY ended LIMIT ${maxAtOnce}`,
);

/** Runs that ended after `end`, in that order, at most 20. */
export async function runsEndedAfter(queryable: Queryable, end: string, kind: Run["kind"] | undefined): Promise<StoredRun[]> {
  return (await queryable.query<RunRow>(endedAfter, [end, kind ?? null])).map(stored);
}

const newest = statement(
  "run-newest-of-each",
  `SELECT ${columns} FROM runs WHERE ended IN (
     SELECT DISTINCT ON (kind, policy) ended FROM runs
     WHERE ended IS NOT NULL AND ($1::text IS NULL OR kind = $1)
     ORDER BY kind, policy, ended DESC)
   ORDER BY ended`,
);

/** The run of each policy that ended last, in the order of ends. */
export async function newestRuns(queryable: Queryable, kind: Run["kind"] | undefined): Promise<StoredRun[]> {
  return (await queryable.query<RunRow>(newest, [kind ?? null])).map(stored);
}

const fail = statement(
  "run-fail-unfinished",
  `UPDATE runs SET state = 'failed', finished_at = now(), ended = nextval('runs_ended'),
     result = coalesce(result, '{}') || jsonb_build_object('message', 'The process ended before the run did.')
   WHERE state = 'running'`,
);

/** All of them: for the start of a process that is alone on its database, where no job outlives it. */
export async function failUnfinishedRuns(queryable: Queryable): Promise<number> {
  return queryable.execute(fail);
}

/** Runs of a policy that are kept for longer than a day: a policy that runs every minute has 43,200 in a month. */
const keptOfPolicy = 100;

// The place of the last one that is kept is found once a policy: what stays is not looked at row by row.
const prune = statement(
  "run-prune",
  `DELETE FROM runs WHERE id IN (
     SELECT old.id FROM (
       SELECT kind, policy, max(ended) AS newest, (
         SELECT kept.ended FROM runs kept
         WHERE kept.kind = ran.kind AND kept.policy = ran.policy AND kept.ended IS NOT NULL
         ORDER BY kept.ended DESC OFFSET ${keptOfPolicy - 1} LIMIT 1) AS last_kept
       FROM runs ran WHERE ended IS NOT NULL GROUP BY kind, policy) bounds
     JOIN runs old ON old.kind = bounds.kind AND old.policy = bounds.policy AND old.ended < bounds.newest
     WHERE (old.started_at < now() - interval '30 days' OR
         (old.ended < bounds.last_kept AND old.started_at < now() - interval '1 day' AND coalesce(old.result ->> 'deleted', '0') = '0'))
       AND NOT EXISTS (SELECT FROM proposals WHERE run = old.id)
     LIMIT 1000)`,
);

/**
 * A batch of the runs of more than 30 days ago, and of those of more than a day ago that are not among the newest of their policy and deleted nothing:
 * from the last one that deleted something Git goes on when it is told of others. The last one of a policy stays, because it says when that was, and so
 * does one that a proposal names.
 */
export function pruneRuns(queryable: Queryable): Promise<number> {
  return queryable.execute(prune);
}

function json(value: unknown): string | null {
  return value === undefined ? null : JSON.stringify(value);
}

function stored(row: RunRow): StoredRun {
  const { id, kind, policy, trigger, state, generation } = row;
  return {
    id,
    kind,
    policy,
    trigger,
    state,
    generation,
    startedAt: row.started_at.toISOString(),
    finishedAt: row.finished_at?.toISOString() ?? null,
    ...(row.progress === null ? {} : { progress: row.progress }),
    ...(row.result === null ? {} : { result: row.result }),
  };
}
