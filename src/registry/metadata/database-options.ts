// How a process reaches its PostgreSQL, as settings say it.

export interface DatabaseOptions {
  /** postgresql://user@host:port/database, with `sslmode`, `sslrootcert`, `sslcert` and `sslkey` as libpq knows them. It, or `urlFile`. */
  readonly url?: string;
  /** One line, such a URL with the password in it, read again for each new connection: a Secret as the operators of databases write it. */
  readonly urlFile?: string;
  /** One line, read again for each new connection, so that a rotated password needs no restart. Goes before a password in the URL. */
  readonly passwordFile?: string;
  /** Goes before what the URL says. */
  readonly tls?: DatabaseTls;
  /** Most connections of this process at the same time. */
  readonly connections?: number;
  readonly timeouts?: Partial<DatabaseTimeouts>;
  /** False for a pooler that gives each transaction another session: nothing is kept in one. True by default. */
  readonly preparedStatements?: boolean;
  /** What would write is an error of the database's (not behind such a pooler, whose sessions take no settings). */
  readonly readOnly?: boolean;
  /** Connections that broke, servers that changed: for the log. Never holds a password. */
  readonly onTrouble?: (message: string) => void;
}

export interface DatabaseTls {
  /**
   * `VerifyFull`: a certificate of a known authority, for this host name; the default, except for loopback addresses and sockets. `Require`:
   * encrypted, but whoever answers is believed. `Disable`: in the clear.
   */
  readonly mode: "VerifyFull" | "Require" | "Disable";
  /** PEM files, read again for each new connection. Without an authority's file those that Node knows count. */
  readonly caFile?: string;
  /** The client's certificate and its key. */
  readonly certificateFile?: string;
  readonly keyFile?: string;
}

/** Milliseconds. */
export interface DatabaseTimeouts {
  /** Until a new connection is there. */
  readonly connect: number;
  /** How long a request waits for a free connection. */
  readonly wait: number;
  /** Longest statement; the server ends it. */
  readonly statement: number;
  /** How long a statement waits for a lock that somebody else holds. */
  readonly lock: number;
  /** A transaction whose process says nothing for so long is ended, and its locks with it. */
  readonly idleInTransaction: number;
  /** How long the answer to a COMMIT, or to a single statement that writes, is awaited: in it a synchronous standby must have confirmed. */
  readonly commit: number;
}

export const defaultConnections = 16;

export const defaultTimeouts: DatabaseTimeouts = {
  connect: 5_000,
  wait: 5_000,
  statement: 30_000,
  lock: 10_000,
  idleInTransaction: 30_000,
  commit: 10_000,
};

/** SQL that has the server keep these limits, in a session or in one transaction. */
export function limitsOf({ statement, lock, idleInTransaction }: DatabaseTimeouts, scope: "SESSION" | "LOCAL"): string {
  const limits = { statement_timeout: statement, lock_timeout: lock, idle_in_transaction_session_timeout: idleInTransaction };
  return Object.entries(limits)
    .map(([name, value]) => `SET ${scope} ${name} = ${value}`)
    .join("; ");
}
