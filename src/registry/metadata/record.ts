// The published revision, and what each process serves (design: record, "Publishing").

import type { RecordedResource, RefusedResource } from "../../api/control/record.ts";
import { statement, type Queryable } from "./database.ts";

export interface RecordDocument {
  /** What is served. */
  readonly resources: readonly RecordedResource[];
  readonly refused: readonly RefusedResource[];
  readonly everHadAccessPolicy: boolean;
}

export interface PublishedRecord {
  readonly revision: string;
  readonly document: RecordDocument;
  readonly publishedAt: Date;
}

export interface Pod {
  readonly id: string;
  readonly revision: string | null;
  /** Hash of the Secrets that it has loaded; null where nobody compares. */
  readonly credentials: string | null;
  readonly seenAt: Date;
}

// The table has no row before the first publish, so the turn is an advisory lock.
const turn = statement("record-turn", "SELECT pg_advisory_xact_lock(hashtext('wharfinger-publish'))");
const read = statement("record-read", `SELECT revision, document, published_at AS "publishedAt" FROM record`);
const summary = statement("record-summary", `SELECT revision, published_at AS "publishedAt", document->'refused' AS refused FROM record`);
const refused = statement("record-refused", "SELECT document->'refused' AS refused FROM record");
const version = statement("record-version", `SELECT revision, published_at AS "publishedAt" FROM record`);
const write = statement(
  "record-write",
  `INSERT INTO record (revision, document) VALUES ($1, $2)
   ON CONFLICT (only_row) DO UPDATE SET revision = excluded.revision, document = excluded.document, published_at = now()`,
);
const heartbeat = statement(
  "record-heartbeat",
  `INSERT INTO pods (id, revision, credentials) VALUES ($1, $2, $3)
   ON CONFLICT (id) DO UPDATE SET revision = excluded.revision, credentials = excluded.credentials, seen_at = now()`,
);
const forget = statement("record-forget-pods", "DELETE FROM pods WHERE id = $1 OR seen_at < now() - interval '1 hour'");
const pods = statement(
  "record-pods",
  `SELECT id, revision, credentials, seen_at AS "seenAt" FROM pods WHERE seen_at > now() - interval '45 seconds' ORDER BY id`,
);

/** One publish at a time, in all processes. */
export async function takeTurnToPublish(transaction: Queryable): Promise<void> {
  await transaction.query(turn);
}

/** Undefined: nothing was ever published. */
export async function publishedRecord(queryable: Queryable): Promise<PublishedRecord | undefined> {
  const [row] = await queryable.query<PublishedRecord>(read);
  return row;
}

/** The same with no more of the document than what nobody serves: what is asked for again and again while something is on its way. */
export async function publishedSummary(
  queryable: Queryable,
): Promise<(Omit<PublishedRecord, "document"> & Pick<RecordDocument, "refused">) | undefined> {
  const [row] = await queryable.query<Omit<PublishedRecord, "document"> & Pick<RecordDocument, "refused">>(summary);
  return row;
}

/** What the published revision holds and nobody serves. */
export async function refusedResources(queryable: Queryable): Promise<readonly RefusedResource[]> {
  const [row] = await queryable.query<Pick<RecordDocument, "refused">>(refused);
  return row?.refused ?? [];
}

/** The same without the document: what a process asks to see whether it is up to date. */
export async function publishedVersion(queryable: Queryable): Promise<Omit<PublishedRecord, "document"> | undefined> {
  const [row] = await queryable.query<Omit<PublishedRecord, "document">>(version);
  return row;
}

export async function writeRecord(transaction: Queryable, revision: string, document: RecordDocument): Promise<void> {
  await transaction.execute(write, [revision, JSON.stringify(document)]);
}

/** This process lives and serves this. */
export async function notePod(queryable: Queryable, { id, revision, credentials }: Omit<Pod, "seenAt">): Promise<void> {
  await queryable.execute(heartbeat, [id, revision, credentials]);
}

/** This process ends; rows of those that ended without a word go after an hour. */
export async function forgetPod(queryable: Queryable, id: string): Promise<void> {
  await queryable.execute(forget, [id]);
}

/** Processes heard in the last 45 seconds: three heartbeats. */
export async function livePods(queryable: Queryable): Promise<Pod[]> {
  return queryable.query<Pod>(pods);
}
