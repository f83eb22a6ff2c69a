// Upload sessions. `writer` is the request that owns the session: whoever writes takes it over, and the older one changes no row any more.

import type { Digest, DigestAlgorithm } from "../../domain/digest.ts";
import { statement, type Queryable } from "./database.ts";

export interface Upload {
  readonly id: string;
  readonly repository: string;
  readonly identity: string;
  readonly writer: string | null;
  readonly algorithm: DigestAlgorithm;
  readonly offset: number;
  /** Digest of the bytes up to `offset`, by `algorithm`. */
  readonly prefixDigest: Digest | null;
  /** How the store goes on with its bytes; null while none is durable. */
  readonly suspended: string | null;
  /** From which another process goes on hashing, if it is of the bytes up to `offset`: to be checked against `prefixDigest`. */
  readonly hashState: Uint8Array | null;
}

// Counted up to the limits and no further, each by an index. Starts at the same moment may exceed them by as many as there are connections.
const insert = statement(
  "upload-insert",
  `WITH found AS (
     SELECT
       EXISTS (SELECT FROM prefixes WHERE prefix = $6 AND kind <> 'own') AS "isUpstreams",
       (SELECT count(*) FROM (SELECT FROM uploads WHERE identity = $3 AND expires_at > now() LIMIT $7) AS mine) >= $7 AS "identityIsFull",
       (SELECT count(*) FROM (SELECT FROM uploads WHERE expires_at > now() LIMIT $8) AS everyones) >= $8 AS "isFull"
   ), inserted AS (
     INSERT INTO uploads (id, repository, identity, algorithm, expires_at)
     SELECT $1, $2, $3, $4, now() + make_interval(secs => $5)
     FROM found
     WHERE NOT "isUpstreams" AND NOT "identityIsFull" AND NOT "isFull"
   )
   SELECT "isUpstreams", "identityIsFull", "isFull" FROM found`,
);
const find = statement(
  "upload-find",
  `SELECT id, repository, identity, writer, algorithm, "offset", prefix_digest AS "prefixDigest", suspended, hash_state AS "hashState"
   FROM uploads
   WHERE id = $1 AND repository = $2 AND expires_at > now()`,
);
// The pause between two requests counts from the end of the one to the start of the other.
const touched = `touched AS (
     UPDATE objects SET touched_at = now() FROM session WHERE objects.session = session.id AND state = 'uploading' RETURNING key
   )`;
const take = statement(
  "upload-take",
  `WITH session AS (
     UPDATE uploads SET writer = $2, expires_at = now() + make_interval(secs => $5)
     WHERE id = $1 AND "offset" = $3 AND writer IS NOT DISTINCT FROM $4
     RETURNING id
   ), ${touched}
   SELECT EXISTS (SELECT FROM touched) AS "hasObjects" FROM session`,
);
const announce = statement(
  "upload-announce",
  `WITH mine AS (
     UPDATE uploads SET object_key = $3 WHERE id = $1 AND writer = $2 RETURNING id
   )
   INSERT INTO objects (key, state, session) SELECT $3, 'uploading', id FROM mine`,
);
const advance = statement(
  "upload-advance",
  `WITH session AS (
     UPDATE uploads
     SET "offset" = $3, prefix_digest = $4, suspended = $6, hash_state = $8, expires_at = now() + make_interval(secs => $5)
     WHERE id = $1 AND writer = $2
     RETURNING id
   ), kept AS (
     UPDATE objects SET
       touched_at = now(),
       state = CASE WHEN key = ANY ($7) THEN state ELSE 'doomed' END,
       doomed_at = CASE WHEN key = ANY ($7) THEN doomed_at ELSE now() END,
       sweep_after = CASE WHEN key = ANY ($7) THEN sweep_after ELSE now() END
     FROM session WHERE objects.session = session.id AND objects.state = 'uploading'
   )
   SELECT FROM session`,
);
const reshape = statement("upload-reshape", "UPDATE uploads SET suspended = $3 WHERE id = $1 AND writer = $2");
const keepState = statement("upload-keep-hash-state", "UPDATE uploads SET hash_state = $3 WHERE id = $1 AND prefix_digest = $2");
const touch = statement(
  "upload-touch",
  `WITH session AS (
     UPDATE uploads SET expires_at = now() + make_interval(secs => $4) WHERE id = $1 AND writer = $2 RETURNING id
   ), ${touched}
   SELECT FROM session WHERE NOT $3::boolean OR EXISTS (SELECT FROM touched)`,
);
const finish = statement("upload-finish", "DELETE FROM uploads WHERE id = $1 AND writer = $2");
const leftovers = statement(
  "upload-leftovers",
  "UPDATE objects SET state = 'doomed', doomed_at = now(), sweep_after = now() WHERE session = $1 AND state = 'uploading'",
);
const cancel = statement(
  "upload-cancel",
  `WITH gone AS (
     DELETE FROM uploads WHERE id = $1 AND repository = $2 AND ($3::uuid IS NULL OR writer = $3) RETURNING id
   ), doomed AS (
     UPDATE objects SET state = 'doomed', doomed_at = now(), sweep_after = now()
     FROM gone WHERE session = gone.id AND state = 'uploading'
   )
   SELECT FROM gone`,
);

/** The session that was made, or why there is none: the prefix is not the team's own, or that many are open already. */
export async function insertUpload(
  database: Queryable,
  upload: {
    readonly id: string;
    readonly repository: string;
    readonly prefix: string;
    readonly identity: string;
    readonly algorithm: DigestAlgorithm;
    readonly expireSeconds: number;
    readonly limits: { readonly perIdentity: number; readonly all: number };
  },
): Promise<"Inserted" | "OfUpstream" | "IdentityIsFull" | "IsFull"> {
  const { id, repository, identity, algorithm, expireSeconds, prefix, limits } = upload;
  const values = [id, repository, identity, algorithm, expireSeconds, prefix, limits.perIdentity, limits.all];
  const [found] = await database.query<{ isUpstreams: boolean; identityIsFull: boolean; isFull: boolean }>(insert, values);
  if (found?.isUpstreams === true) return "OfUpstream";
  if (found?.identityIsFull === true) return "IdentityIsFull";
  return found?.isFull === true ? "IsFull" : "Inserted";
}

/** The session, unless it is gone or expired or belongs to another repository. */
export async function findUpload(database: Queryable, repository: string, id: string): Promise<Upload | undefined> {
  const [row] = await database.query<Upload>(find, [id, repository]);
  return row;
}

/** Makes `writer` the owner of a session that was seen as `seen`. TooLate: somebody else was faster. GivenUp: its bytes were. */
export async function takeUpload(
  database: Queryable,
  seen: Upload,
  writer: string,
  expireSeconds: number,
): Promise<"Taken" | "TooLate" | "GivenUp"> {
  const [taken] = await database.query<{ hasObjects: boolean }>(take, [seen.id, writer, seen.offset, seen.writer, expireSeconds]);
  if (taken === undefined) return "TooLate";
  return taken.hasObjects || seen.suspended === null ? "Taken" : "GivenUp";
}

/** U1 of a session. False: it was taken over or ended. */
export async function announceUpload(
  database: Queryable,
  session: { readonly id: string; readonly writer: string; readonly key: string },
): Promise<boolean> {
  return (await database.execute(announce, [session.id, session.writer, session.key])) === 1;
}

/** How the store goes on with a session's bytes: what is durable, what it needs to know, and the objects that it needs. */
export interface SuspendedBytes {
  readonly offset: number;
  readonly state: string;
  readonly keys: readonly string[];
}

/** What the request that `writer` names has added; objects that it no longer needs are given up. False: it was taken over or ended. */
export async function advanceUpload(
  database: Queryable,
  session: { readonly id: string; readonly writer: string },
  progress: {
    readonly suspended: SuspendedBytes;
    readonly prefixDigest: Digest;
    readonly hashState: Uint8Array | null;
    readonly expireSeconds: number;
  },
): Promise<boolean> {
  const { suspended, prefixDigest, hashState, expireSeconds } = progress;
  const { offset, state, keys } = suspended;
  const values = [session.id, session.writer, offset, prefixDigest, expireSeconds, state, keys, hashState];
  return (await database.execute(advance, values)) === 1;
}

/** The store has the same bytes in another shape. False: it was taken over or ended. */
export async function reshapeUpload(
  database: Queryable,
  session: { readonly id: string; readonly writer: string },
  state: string,
): Promise<boolean> {
  return (await database.execute(reshape, [session.id, session.writer, state])) === 1;
}

/** For whoever goes on, as long as the session is where it was: reading it again may have taken longer than a client waits. */
export async function keepHashState(
  database: Queryable,
  session: { readonly id: string; readonly prefixDigest: Digest },
  state: Uint8Array,
): Promise<void> {
  await database.execute(keepState, [session.id, session.prefixDigest, state]);
}

/** Says that somebody still writes; `announced`: there are bytes, or may be. False: it was taken over, ended or given up. */
export async function touchUpload(
  database: Queryable,
  session: { readonly id: string; readonly writer: string; readonly announced: boolean; readonly expireSeconds: number },
): Promise<boolean> {
  return (await database.execute(touch, [session.id, session.writer, session.announced, session.expireSeconds])) === 1;
}

/** Ends a session as part of U2. False: it was taken over or ended. */
export async function finishUpload(transaction: Queryable, id: string, writer: string): Promise<boolean> {
  return (await transaction.execute(finish, [id, writer])) === 1;
}

/** Gives up what a finished session had besides the bytes that became a blob, once these are live. */
export async function abandonLeftovers(transaction: Queryable, id: string): Promise<void> {
  await transaction.execute(leftovers, [id]);
}

/** Ends a session and gives its bytes up; `writer`: only while that request has it. False: there is none. */
export async function cancelUpload(database: Queryable, repository: string, id: string, writer?: string): Promise<boolean> {
  return (await database.execute(cancel, [id, repository, writer ?? null])) === 1;
}
