// What clusters use, in sets: a report writes what is new in it and what is gone, not what is as it was.

import { statement, type Queryable } from "./database.ts";

export interface ReportRow {
  readonly cluster: string;
  /** Moves with each report. */
  readonly version: string;
  /** Of the newest whole report, epoch milliseconds; null: there was none. */
  readonly takenAt: number | null;
  /** What that one covers; null: the whole cluster. */
  readonly namespaces: readonly string[] | null;
  /** Why no whole report came since. */
  readonly problem: string | null;
  /** Since its moment, milliseconds. */
  readonly age: number | null;
}

export interface ImageRow {
  readonly cluster: string;
  readonly image: string;
  /** Epoch milliseconds; that of the newest whole report when it is in there. */
  readonly lastSeen: number;
}

export interface ImageTimes {
  readonly image: string;
  readonly firstSeen: Date;
  readonly lastSeen: Date;
}

const epoch = (time: string) => `floor(extract(epoch FROM ${time}) * 1000)::float8`;
const hear = statement(
  "workloads-hear",
  `INSERT INTO workload_reports (cluster, version) VALUES ($1, 1)
   ON CONFLICT (cluster) DO UPDATE SET version = workload_reports.version + 1
   RETURNING ${epoch("taken_at")} AS "takenAt", ${epoch("now()")} AS now`,
);
const leave = statement(
  "workloads-leave",
  `UPDATE workload_images i SET last_seen = r.taken_at
   FROM workload_reports r
   WHERE r.cluster = $1 AND i.cluster = $1 AND i.last_seen IS NULL
     AND NOT EXISTS (SELECT FROM unnest($2::text[]) AS named (image) WHERE named.image = i.image)`,
);
// The rows that are as they were are not even locked: that would be a write.
const arrive = statement(
  "workloads-arrive",
  `INSERT INTO workload_images AS i (cluster, image, first_seen)
   SELECT $1, named.image, named.first_seen
   FROM unnest($2::text[], $3::timestamptz[]) AS named (image, first_seen)
   WHERE NOT EXISTS (SELECT FROM workload_images c WHERE c.cluster = $1 AND c.image = named.image AND c.last_seen IS NULL)
   ON CONFLICT (cluster, image) DO UPDATE SET last_seen = NULL, first_seen = least(i.first_seen, excluded.first_seen)`,
);
const see = statement(
  "workloads-see",
  `INSERT INTO workload_images AS i (cluster, image, first_seen, last_seen)
   SELECT $1, named.image, named.first_seen, named.last_seen
   FROM unnest($2::text[], $3::timestamptz[], $4::timestamptz[]) AS named (image, first_seen, last_seen)
   WHERE NOT EXISTS (
     SELECT FROM workload_images c
     WHERE c.cluster = $1 AND c.image = named.image AND (c.last_seen IS NULL OR c.last_seen >= named.last_seen))
   ON CONFLICT (cluster, image) DO UPDATE SET last_seen = excluded.last_seen, first_seen = least(i.first_seen, excluded.first_seen)`,
);
const take = statement(
  "workloads-take",
  "UPDATE workload_reports SET taken_at = $2::timestamptz, namespaces = $3::text[], problem = NULL WHERE cluster = $1",
);
const complain = statement("workloads-complain", "UPDATE workload_reports SET problem = $2 WHERE cluster = $1");
const forget = statement("workloads-forget", "DELETE FROM workload_images WHERE last_seen < now() - make_interval(secs => $1)");
const reports = statement(
  "workloads-reports",
  `SELECT cluster, version::text AS version, ${epoch("taken_at")} AS "takenAt", namespaces, problem,
     (extract(epoch FROM now() - taken_at) * 1000)::float8 AS age
   FROM workload_reports WHERE cluster = ANY($1) ORDER BY cluster`,
);
const images = statement(
  "workloads-images",
  `SELECT i.cluster, i.image, ${epoch("coalesce(i.last_seen, r.taken_at)")} AS "lastSeen"
   FROM workload_images i JOIN workload_reports r ON r.cluster = i.cluster
   WHERE i.cluster = ANY($1)`,
);

/** The cluster spoke: until the end of the transaction no other report of it is written. Answers the moment of its newest whole report, and now. */
export async function hearCluster(
  transaction: Queryable,
  cluster: string,
): Promise<{ readonly takenAt: number | null; readonly now: number }> {
  const [row] = await transaction.query<{ takenAt: number | null; now: number }>(hear, [cluster]);
  return row!;
}

/** A whole report, newer than the one before: these images are in use, each named once, and no others of the cluster. */
export async function storeWholeReport(
  transaction: Queryable,
  cluster: string,
  report: {
    readonly takenAt: Date;
    readonly namespaces: readonly string[] | null;
    readonly images: readonly Omit<ImageTimes, "lastSeen">[];
  },
): Promise<void> {
  const names = report.images.map(({ image }) => image);
  await transaction.execute(leave, [cluster, names]);
  await transaction.execute(arrive, [cluster, names, report.images.map(({ firstSeen }) => firstSeen)]);
  await transaction.execute(take, [cluster, report.takenAt, report.namespaces]);
}

/** These were seen, each named once: what is in the newest whole report stays in it. */
export async function storeSeenImages(transaction: Queryable, cluster: string, seen: readonly ImageTimes[]): Promise<void> {
  if (seen.length === 0) return;
  const column = <Key extends keyof ImageTimes>(key: Key) => seen.map((image) => image[key]);
  await transaction.execute(see, [cluster, column("image"), column("firstSeen"), column("lastSeen")]);
}

/** Why no whole report comes. */
export async function storeProblem(transaction: Queryable, cluster: string, problem: string): Promise<void> {
  await transaction.execute(complain, [cluster, problem]);
}

/** Images of any cluster that were not seen for so long, milliseconds. */
export async function forgetImages(queryable: Queryable, unseenFor: number): Promise<number> {
  return queryable.execute(forget, [unseenFor / 1000]);
}

/** Of those clusters that were heard of. */
export async function readReports(queryable: Queryable, clusters: readonly string[]): Promise<ReportRow[]> {
  return queryable.query<ReportRow>(reports, [clusters]);
}

export async function readImages(queryable: Queryable, clusters: readonly string[]): Promise<ImageRow[]> {
  return queryable.query<ImageRow>(images, [clusters]);
}
