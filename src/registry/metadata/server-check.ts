// Is this a database on which nothing that was acknowledged can get lost? Asked once, at the start, before anything is served.

import { setTimeout as sleep } from "node:timers/promises";

import { connectionParameters } from "./connection-parameters.ts";
import type { DatabaseOptions } from "./database-options.ts";
import { statement, type Database } from "./database.ts";
import { DatabaseUnavailable } from "./unavailable.ts";

/** Oldest PostgreSQL whose SQL we use. */
const oldestVersion = 150_000;
const askAgainAfter = 500;

const settings = statement(
  "server-check",
  `SELECT current_setting('server_version') AS version, current_setting('server_version_num')::integer AS number,
     current_database() AS database, current_user AS role, current_setting('server_encoding') AS encoding,
     current_setting('transaction_read_only') = 'on' AS "readOnly",
     current_schema() IS NOT NULL AND has_schema_privilege(current_schema(), 'CREATE') AND has_schema_privilege(current_schema(), 'USAGE')
       AS "mayCreate",
     current_setting('synchronous_commit') AS commit, current_setting('synchronous_standby_names') AS standbys,
     current_setting('fsync') = 'on' AS fsync, current_setting('full_page_writes') = 'on' AS "wholePages"`,
);

interface Row {
  readonly version: string;
  readonly number: number;
  readonly database: string;
  readonly role: string;
  readonly encoding: string;
  readonly readOnly: boolean;
  readonly mayCreate: boolean;
  readonly commit: string;
  readonly standbys: string;
  readonly fsync: boolean;
  readonly wholePages: boolean;
}

/** The database cannot be used; `message` says why and what to do. */
export class UnsuitableDatabase extends Error {
  override readonly name = "UnsuitableDatabase";
}

export interface ServerCheckOptions {
  /** Milliseconds for which a database that does not answer yet is waited for. */
  readonly patience?: number;
  /** Nothing is going to be written: a role that may only read will do. */
  readonly readOnly?: boolean;
  readonly onWait?: (why: string) => void;
}

/** Resolves with what the person who runs the database should hear although it is served. Rejects with UnsuitableDatabase. */
export async function checkServer(database: Database, options: ServerCheckOptions = {}): Promise<readonly string[]> {
  const row = await ask(database, options);
  const problem = problemOf(row, options);
  if (problem !== undefined) throw new UnsuitableDatabase(problem);
  return warningsOf(row);
}

async function ask(database: Database, { patience = 0, onWait }: ServerCheckOptions): Promise<Row> {
  for (const deadline = performance.now() + patience; ; await sleep(askAgainAfter)) {
    try {
      const [row] = await database.query<Row>(settings);
      return row!;
    } catch (error) {
      if (!(error instanceof DatabaseUnavailable)) throw error;
      // Somebody who says no says it again.
      if (error.reason === "REFUSED" || performance.now() >= deadline) {
        throw new UnsuitableDatabase(await adviceFor(error, database.options), { cause: error });
      }
      onWait?.(`the database is waited for: ${error.message}`);
    }
  }
}

function problemOf(row: Row, needs: Pick<ServerCheckOptions, "readOnly">): string | undefined {
  const { version, number, database, role, encoding, readOnly, mayCreate, commit } = row;
  if (number < oldestVersion) return `The database server is PostgreSQL ${version}; version 15 or newer is needed. Upgrade it.`;
  if (encoding !== "UTF8") {
    return `The database ${database} has the encoding ${encoding}, which cannot hold every name: make one with CREATE DATABASE ${database} ENCODING 'UTF8' TEMPLATE template0.`;
  }
  if (needs.readOnly === true) return undefined;
  if (readOnly) {
    return `The database ${database} is read-only for the role ${role} (default_transaction_read_only): let it write, or give the address of the primary.`;
  }
  if (!mayCreate) {
    return `The role ${role} may not create tables in the database ${database}: make it the owner (ALTER DATABASE ${database} OWNER TO ${role}), or GRANT CREATE ON SCHEMA public TO ${role}.`;
  }
  if (commit === "off") {
    return `synchronous_commit is off for the role ${role}: a crash of the database would lose pushes that were acknowledged. Set it to on (ALTER ROLE ${role} SET synchronous_commit = on, or in postgresql.conf).`;
  }
  return undefined;
}

function warningsOf({ commit, standbys, fsync, wholePages }: Row): string[] {
  const warnings: string[] = [];
  if (!fsync)
    warnings.push("the database runs with fsync = off: a crash of its machine loses pushes that were acknowledged, or the whole database");
  if (!wholePages) warnings.push("the database runs with full_page_writes = off: a crash of its machine may damage it");
  if (standbys !== "" && commit === "local") {
    warnings.push(
      "synchronous_commit = local: the synchronous standby is not waited for, so a failover loses pushes that were acknowledged",
    );
  }
  return warnings;
}

/** What to change, by what the server or the network said, and what it was told. */
async function adviceFor(error: DatabaseUnavailable, given: DatabaseOptions): Promise<string> {
  const { code, reason, cause } = error;
  const said = cause instanceof Error ? cause.message : error.message;
  if (code === "28P01" || /client password must be/.test(said)) {
    const { passwordFile } = given;
    if ((await connectionParameters(given).password()) === "") {
      return passwordFile === undefined
        ? "The database wants a password, and none is given: set database.passwordFile."
        : `The database wants a password, and its file ${passwordFile} is empty.`;
    }
    return `The database refuses the password (${said}). Check the user in the URL, and the password or its file.`;
  }
  if (code === "28000")
    return `The database refuses the user (${said}). Check the user in the URL, pg_hba.conf, and whether TLS or a client certificate is asked for.`;
  if (code === "3D000")
    return `The database does not exist (${said}). Make it with CREATE DATABASE … ENCODING 'UTF8', or correct its name in the URL.`;
  if (/does not support SSL/.test(said)) {
    const off =
      given.tls === undefined ? "write sslmode=disable into the URL" : "set database.tls.mode: Disable, which goes before the URL";
    return `The database server offers no TLS. Switch it on there (ssl = on); only where the way to it is trusted, ${off}.`;
  }
  if (code !== undefined && /^(?:CERT_|ERR_TLS_|ERR_SSL_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_)/.test(code)) {
    return `TLS to the database failed (${said}). Give the authority that signed its certificate, and a URL with the host name that the certificate has.`;
  }
  if (reason === "NOT_PRIMARY") return `${said} Give an address that leads to the primary.`;
  if (reason === "UNREACHABLE") return `The database cannot be reached (${said}). Check the host and port in the URL, and whether it runs.`;
  return `The database cannot be used: ${said}.`;
}
