// From the options to what the driver is given. Nothing is read from the environment: what a process is told is in its settings.

import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import type { ConnectionOptions } from "node:tls";

import type { DatabaseOptions, DatabaseTls } from "./database-options.ts";

/** The options cannot be used as they are; `message` says what to change. */
export class DatabaseOptionsError extends Error {
  override readonly name = "DatabaseOptionsError";
}

/** A file that the options name cannot be used as it is. It may be written anew at any time: it is read again for each connection. */
export class DatabaseFileError extends DatabaseOptionsError {}

export interface ConnectionParameters {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly database: string;
  readonly tls: DatabaseTls;
  /** Read anew. Empty: none is set. Rejects with DatabaseOptionsError. */
  readonly password: () => Promise<string>;
}

const defaultPort = 5432;
const understood = ["host", "port", "user", "password", "dbname", "sslmode", "sslrootcert", "sslcert", "sslkey", "application_name"];
const modes: Readonly<Record<string, DatabaseTls["mode"]>> = { "verify-full": "VerifyFull", require: "Require", disable: "Disable" };

/** What `urlFile` says it says now. Throws DatabaseOptionsError. */
export function connectionParameters(options: Pick<DatabaseOptions, "url" | "urlFile" | "passwordFile" | "tls">): ConnectionParameters {
  const { urlFile } = options;
  if (urlFile === undefined) return parametersOf(options.url ?? "", options);
  const text = read("URL", urlFile).trim();
  try {
    return parametersOf(text, options);
  } catch (error) {
    if (!(error instanceof DatabaseOptionsError)) throw error;
    throw new DatabaseFileError(`${error.message} It is read from ${urlFile}`);
  }
}

function parametersOf(text: string, options: Pick<DatabaseOptions, "passwordFile" | "tls">): ConnectionParameters {
  const url = parse(text);
  const unknown = [...url.searchParams.keys()].find((name) => !understood.includes(name));
  if (unknown !== undefined) throw wrong(`the parameter ${unknown} is not understood here; what is: ${understood.join(", ")}`);
  const given = (parameter: string, part: string) => url.searchParams.get(parameter) ?? decodeURIComponent(part);
  const host = given("host", url.hostname.replace(/^\[(.*)\]$/, "$1"));
  if (host === "") throw wrong("it names no host");
  if (host.includes(",")) {
    throw wrong("it names several hosts; give one name or address that always leads to the primary, because a standby cannot be used");
  }
  const user = given("user", url.username);
  if (user === "") throw wrong("it names no user");
  const database = given("dbname", url.pathname.slice(1)) || user;
  const { passwordFile } = options;
  const inUrl = given("password", url.password);
  return {
    host,
    port: Number(given("port", url.port) || defaultPort),
    user,
    database,
    tls: options.tls ?? tlsOf(url, host),
    password: passwordFile === undefined ? async () => inUrl : () => readPassword(passwordFile),
  };
}

/** The files as they are now: certificates are renewed under a running process. Throws DatabaseOptionsError. */
export function tlsContext(tls: DatabaseTls): ConnectionOptions | false {
  if (tls.mode === "Disable") return false;
  return {
    rejectUnauthorized: tls.mode === "VerifyFull",
    ...(tls.caFile === undefined ? {} : { ca: read("certificate of the authority", tls.caFile) }),
    ...(tls.certificateFile === undefined ? {} : { cert: read("client certificate", tls.certificateFile) }),
    ...(tls.keyFile === undefined ? {} : { key: read("key of the client certificate", tls.keyFile) }),
  };
}

function parse(text: string): URL {
  // The text may hold a password: no message repeats it.
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !["postgres:", "postgresql:"].includes(url.protocol)) {
    throw wrong("it must look like postgresql://user@host:5432/database");
  }
  return url;
}

function tlsOf(url: URL, host: string): DatabaseTls {
  const file = (parameter: string, key: string) => {
    const path = url.searchParams.get(parameter);
    return path === null ? {} : { [key]: path };
  };
  const written = url.searchParams.get("sslmode");
  const mode = written === null ? (isLocal(host) ? "Disable" : "VerifyFull") : modes[written];
  if (mode === undefined) {
    throw wrong(`sslmode=${written} is not offered, because it can be talked out of checking: use verify-full, require or disable`);
  }
  return { mode, ...file("sslrootcert", "caFile"), ...file("sslcert", "certificateFile"), ...file("sslkey", "keyFile") };
}

/** A socket in a folder: whoever answers there is this machine's own server. */
export function isSocket(host: string): boolean {
  return host.startsWith("/");
}

/** A socket in a folder, or this machine. */
export function isLocal(host: string): boolean {
  return isSocket(host) || host === "localhost" || host === "::1" || host.startsWith("127.");
}

async function readPassword(file: string): Promise<string> {
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw new DatabaseFileError(`the database's password cannot be read from ${file} (${error.code ?? error.message})`);
  });
  // Editors and `echo` end the line.
  return text.replace(/\r?\n$/, "");
}

function read(what: string, file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new DatabaseFileError(`the ${what} for the database cannot be read from ${file} (${code ?? message})`);
  }
}

function wrong(problem: string): DatabaseOptionsError {
  return new DatabaseOptionsError(`The database's URL cannot be used: ${problem}.`);
}
