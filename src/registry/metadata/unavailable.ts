// When the database cannot answer: one error, with the reason, whatever the driver, the network or the server called it.

export type UnavailableReason =
  /** No connection can be made: nobody answers, or the address does not exist. */
  | "UNREACHABLE"
  /** A server answers and lets nobody in: credentials, TLS, the database's name. */
  | "REFUSED"
  /** The connection ended in the middle of something. */
  | "LOST"
  /** No connection was free in time, here or on the server, or the server is out of memory or disk. */
  | "BUSY"
  /** A statement was ended because it took too long. */
  | "TIMEOUT"
  /** Somebody else held a lock for too long. */
  | "LOCKED"
  /** A standby, a primary that became one, or one that a failover has left behind. */
  | "NOT_PRIMARY"
  /** Nobody can say whether a COMMIT happened, or whether the synchronous standby has it. */
  | "OUTCOME_UNKNOWN";

/** Not the caller's fault, and nothing that was acknowledged is lost: come again. */
export class DatabaseUnavailable extends Error {
  override readonly name = "DatabaseUnavailable";
  readonly reason: UnavailableReason;
  /** SQLSTATE of the server or name of the system's error, where there is one. */
  readonly code: string | undefined;

  constructor(reason: UnavailableReason, message: string, cause?: unknown) {
    super(message, { cause });
    this.reason = reason;
    this.code = errorCode(cause);
  }
}

/** SQLSTATE → reason: single codes first, then classes (PostgreSQL manual, appendix A). */
const bySqlState: readonly (readonly [RegExp, UnavailableReason])[] = [
  [/^57014$|^25P04$/, "TIMEOUT"], // query_canceled, transaction_timeout
  [/^55P03$/, "LOCKED"], // lock_not_available
  [/^25006$/, "NOT_PRIMARY"], // read_only_sql_transaction
  [/^57P03$/, "UNREACHABLE"], // cannot_connect_now: starting, stopping, recovering
  [/^(?:08|57P|25P03)/, "LOST"], // connection exceptions, shutdown, idle in transaction for too long
  [/^53/, "BUSY"], // too many connections, disk full, out of memory
  [/^(?:28|3D000$)/, "REFUSED"], // authentication, no such database
];
const bySystem: readonly (readonly [RegExp, UnavailableReason])[] = [
  [/^E(?:CONNREFUSED|HOSTUNREACH|NETUNREACH|NOTFOUND|AI_AGAIN|HOSTDOWN)$/, "UNREACHABLE"],
  [/^E(?:CONNRESET|PIPE|TIMEDOUT|CONNABORTED)$/, "LOST"],
];
/** What `pg` and `pg-pool` say without a code. */
const byMessage: readonly (readonly [RegExp, UnavailableReason])[] = [
  [/^timeout exceeded when trying to connect/, "BUSY"],
  [/^(?:Connection terminated due to connection timeout|timeout expired)/, "UNREACHABLE"],
  [/^(?:Connection terminated|Client has encountered a connection error|Client was closed)/, "LOST"],
];

const sentences: Readonly<Record<UnavailableReason, string>> = {
  UNREACHABLE: "The database does not answer",
  REFUSED: "The database refuses the registry",
  LOST: "The connection to the database was lost",
  BUSY: "The database has no room for more at the moment",
  TIMEOUT: "The database took too long",
  LOCKED: "Others hold what is to be changed",
  NOT_PRIMARY: "The database takes no writes: it is no primary",
  OUTCOME_UNKNOWN: "Nobody can say yet whether the change was made",
};

/** `error` as DatabaseUnavailable when that is what it means, else itself. */
export function asUnavailable(error: unknown): unknown {
  const reason = reasonOf(error);
  if (error instanceof DatabaseUnavailable || reason === undefined) return error;
  return new DatabaseUnavailable(reason, `${sentences[reason]}: ${(error as Error).message}`, error);
}

/** Undefined: the database is there, and said something about the statement. */
export function reasonOf(error: unknown): UnavailableReason | undefined {
  if (error instanceof DatabaseUnavailable) return error.reason;
  if (!(error instanceof Error)) return undefined;
  const code = errorCode(error);
  // A socket that is not there (yet).
  if (code === "ENOENT" && (error as NodeJS.ErrnoException).syscall === "connect") return "UNREACHABLE";
  const [table, text] =
    code === undefined ? [byMessage, error.message] : [code.length === 5 ? [...bySqlState, ...bySystem] : bySystem, code];
  return table.find(([pattern]) => pattern.test(text))?.[1];
}

function errorCode(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  return typeof code === "string" ? code : undefined;
}
