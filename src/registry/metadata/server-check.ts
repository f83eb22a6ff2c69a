// Is this a database on which nothing that was acknowledged can get lost? Asked once, at the start, before anything is served.

import { Obstacle, type ObstacleReason } from "../../domain/obstacle.ts";
import { connectionParameters, DatabaseOptionsError } from "./connection-parameters.ts";
import type { DatabaseOptions } from "./database-options.ts";
import { statement, type Database } from "./database.ts";
import { DatabaseUnavailable } from "./unavailable.ts";

/** Oldest PostgreSQL whose SQL we use. */
const oldestVersion = 150_000;

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

/** Tables of somebody else, where there are none of ours; what extensions bring is nobody's. */
const strangers = statement(
  "server-check-strangers",
  `SELECT c.relname AS name FROM pg_class c
   WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
     AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
     AND NOT EXISTS (
       SELECT FROM pg_attribute WHERE attrelid = to_regclass('migrations') AND attname = 'applied_at' AND NOT attisdropped
     )
   ORDER BY c.relname LIMIT 4`,
);

export interface ServerCheckOptions {
  /** Nothing is going to be written: a role that may only read will do. */
  readonly readOnly?: boolean;
}

/** Resolves with what the person who runs the database should hear although it is served. Rejects with Obstacle. */
export async function checkServer(database: Database, options: ServerCheckOptions = {}): Promise<readonly string[]> {
  const row = await ask(database);
  const problem = problemOf(row, options);
  if (problem !== undefined) throw problem;
  const names = (await database.query<{ name: string }>(strangers)).map(({ name }) => name);
  if (names.length > 0) throw ofAnotherProgram(row, names);
  return warningsOf(row);
}

async function ask(database: Database): Promise<Row> {
  try {
    const [row] = await database.query<Row>(settings);
    return row!;
  } catch (error) {
    if (!(error instanceof DatabaseUnavailable)) throw error;
    const [reason, message] = await adviceFor(error, database.options);
    throw new Obstacle(reason, message, { cause: error });
  }
}

function ofAnotherProgram({ database }: Row, names: readonly string[]): Obstacle {
  const shown = names.slice(0, 3).join(", ") + (names.length > 3 ? " and others" : "");
  return new Obstacle(
    "DatabaseOfAnotherProgram",
    `The database ${database} has tables of another program (${shown}) and none of a registry: make one of its own with CREATE DATABASE … ENCODING 'UTF8', or correct the name in the URL.`,
  );
}

function problemOf(row: Row, needs: ServerCheckOptions): Obstacle | undefined {
  const { version, number, database, role, encoding, readOnly, mayCreate, commit } = row;
  const unsuitable = (message: string) => new Obstacle("DatabaseUnsuitable", message);
  if (number < oldestVersion) return unsuitable(`The database server is PostgreSQL ${version}; version 15 or newer is needed. Upgrade it.`);
  if (encoding !== "UTF8") {
    return unsuitable(
      `The database ${database} has the encoding ${encoding}, which cannot hold every name: make one with CREATE DATABASE ${database} ENCODING 'UTF8' TEMPLATE template0.`,
    );
  }
  if (needs.readOnly === true) return undefined;
  if (readOnly) {
    return unsuitable(
      `The database ${database} is read-only for the role ${role} (default_transaction_read_only): let it write, or give the address of the primary.`,
    );
  }
  if (!mayCreate) {
    return new Obstacle(
      "DatabaseRightsMissing",
      `The role ${role} may not create tables in the database ${database}: make it the owner (ALTER DATABASE ${database} OWNER TO ${role}), or GRANT CREATE ON SCHEMA public TO ${role}.`,
    );
  }
  if (commit === "off") {
    return unsuitable(
      `synchronous_commit is off for the role ${role}: a crash of the database would lose pushes that were acknowledged. Set it to on (ALTER ROLE ${role} SET synchronous_commit = on, or in postgresql.conf).`,
    );
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
async function adviceFor(error: DatabaseUnavailable, given: DatabaseOptions): Promise<readonly [ObstacleReason, string]> {
  const { code, reason, cause } = error;
  const said = cause instanceof Error ? cause.message : error.message;
  if (cause instanceof DatabaseOptionsError) return ["DatabaseFileUnusable", `${upperFirst(said)}. Put it there; it is read again.`];
  if (code === "28P01" || /client password must be/.test(said)) return ["DatabaseLoginRefused", await passwordAdvice(said, given)];
  if (code === "28000") {
    return [
      "DatabaseLoginRefused",
      `The database refuses the user (${said}). Check the user in the URL, pg_hba.conf, and whether TLS or a client certificate is asked for.`,
    ];
  }
  if (code === "3D000") {
    return [
      "DatabaseMissing",
      `The database does not exist (${said}). Make it with CREATE DATABASE … ENCODING 'UTF8', or correct its name in the URL.`,
    ];
  }
  if (/does not support SSL/.test(said)) {
    const off =
      given.tls === undefined ? "write sslmode=disable into the URL" : "set database.tls.mode: Disable, which goes before the URL";
    return [
      "DatabaseTLSFailed",
      `The database server offers no TLS. Switch it on there (ssl = on); only where the way to it is trusted, ${off}.`,
    ];
  }
  if (code !== undefined && /^(?:CERT_|ERR_TLS_|ERR_SSL_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_)/.test(code)) {
    return [
      "DatabaseTLSFailed",
      `TLS to the database failed (${said}). Give the authority that signed its certificate, and a URL with the host name that the certificate has.`,
    ];
  }
  if (reason === "NOT_PRIMARY") return ["DatabaseNotPrimary", `${said} Give an address that leads to the primary.`];
  if (reason === "UNREACHABLE") return ["DatabaseUnreachable", unreachableAdvice(said, code)];
  return ["DatabaseUnavailable", `The database cannot be used: ${said}.`];
}

async function passwordAdvice(said: string, given: DatabaseOptions): Promise<string> {
  const { passwordFile, urlFile } = given;
  if ((await connectionParameters(given).password()) !== "") {
    const place = passwordFile ?? urlFile;
    const where = place === undefined ? "the password or its file" : `the password in ${place}, which is read again`;
    return `The database refuses the password (${said}). Check the user in the URL, and ${where}.`;
  }
  if (passwordFile !== undefined) return `The database wants a password, and its file ${passwordFile} is empty.`;
  return `The database wants a password, and none is given: set database.passwordFile.`;
}

const notFound = "Nobody knows that host: correct it in the URL, or make the name known.";
/** By the name of the system's error, or the SQLSTATE of a server that starts. */
const unreachable: Readonly<Record<string, string>> = {
  ENOTFOUND: notFound,
  EAI_AGAIN: notFound,
  "57P03": "It starts, ends or recovers.",
  ECONNREFUSED: "Nobody listens there: check the host and port in the URL, and whether it runs.",
};

function unreachableAdvice(said: string, code = ""): string {
  const what = `The database cannot be reached (${said}).`;
  return `${what} ${unreachable[code] ?? "Check the host and port in the URL, whether it runs, and whether a NetworkPolicy or firewall is between."}`;
}

function upperFirst(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
