// A PostgreSQL server of a test's own, on TCP, with the settings and doors of the test, and standbys of it: what an installation runs, and loses.

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { appendFile, cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";

import { Client } from "pg";

import { findPostgres } from "../../src/standalone/postgres/binaries.ts";
import { collect, initialise, user } from "../../src/standalone/postgres/cluster.ts";
import { createLauncher, type Launcher } from "../../src/standalone/postgres/unprivileged.ts";
import { freePort } from "./distribution.ts";
import { answerTo } from "./eventually.ts";
import { endWithUs } from "./launched-server.ts";
import { program } from "./programs.ts";

export interface PostgresServer {
  readonly port: number;
  /** postgresql://wharfinger@127.0.0.1:port/database, without TLS and password; database `postgres` by default. */
  url(database?: string): string;
  /** Runs SQL as the superuser, on a connection of its own. */
  run<Row = Record<string, unknown>>(text: string, options?: { database?: string; values?: readonly unknown[] }): Promise<Row[]>;
  /** Another server that follows this one, under the name `name` in its synchronous_standby_names. */
  standby(name: string, settings?: Readonly<Record<string, string>>): Promise<PostgresServer>;
  /** Of a standby: it receives nothing more. */
  stopFollowing(): Promise<void>;
  promote(): Promise<void>;
  /** SIGKILL, SIGSTOP, SIGCONT to the server and everything it started. */
  signal(name: NodeJS.Signals): Promise<void>;
  /** Ends it in order, and removes its folder. */
  stop(): Promise<void>;
}

export interface PostgresServerOptions {
  readonly settings?: Readonly<Record<string, string>>;
  /** The lines of pg_hba.conf in the place of "everybody from here". */
  readonly hba?: readonly string[];
  /** Files beside the data, for example certificates, which only the server may read. */
  readonly files?: Readonly<Record<string, string>>;
}

export async function startPostgresServer(options: PostgresServerOptions = {}): Promise<PostgresServer> {
  const launcher = await createLauncher(await findPostgres());
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-test-pg-"));
  await initialise(launcher, folder);
  return launch(launcher, folder, options);
}

async function launch(launcher: Launcher, folder: string, options: PostgresServerOptions): Promise<PostgresServer> {
  const port = await freePort();
  for (const [name, text] of Object.entries(options.files ?? {})) await writeFile(join(folder, name), text, { mode: 0o600 });
  if (options.hba !== undefined) await writeFile(join(folder, "pg_hba.conf"), `${options.hba.join("\n")}\n`);
  await launcher.adopt(folder);
  const settings: Record<string, string> = {
    listen_addresses: "127.0.0.1",
    port: String(port),
    unix_socket_directories: "",
    shared_buffers: "32MB",
    max_connections: "60",
    // A killed server must come back; a killed machine is not tried here.
    fsync: "off",
    wal_keep_size: "512MB",
    log_min_messages: "warning",
    timezone: "UTC",
    ...options.settings,
  };
  const { file, args } = launcher.command(launcher.binaries.postgres, [
    "-D",
    folder,
    ...Object.entries(settings).flatMap(([key, value]) => ["-c", `${key}=${value}`]),
  ]);
  const child = spawn(file, args, {
    ...launcher.identity,
    stdio: ["ignore", "ignore", "pipe"],
    detached: true,
    env: { PATH: process.env["PATH"] ?? "", LC_ALL: "C" },
  });
  endWithUs(child, folder);
  const lastWords = collect(child);
  const url = (database = "postgres") => `postgresql://${user}@127.0.0.1:${port}/${database}`;
  const run = async <Row>(text: string, { database, values = [] }: { database?: string; values?: readonly unknown[] } = {}) => {
    const client = new Client({ connectionString: url(database), connectionTimeoutMillis: 5_000 });
    client.on("error", () => undefined);
    await client.connect();
    try {
      return (await client.query(text, [...values])).rows as Row[];
    } finally {
      await client.end().catch(() => undefined);
    }
  };
  const server: PostgresServer = {
    port,
    url,
    run,
    standby: (name, own) => standbyOf(launcher, { folder, port }, name, own),
    stopFollowing: async () => {
      await run("ALTER SYSTEM SET primary_conninfo = ''");
      await run("SELECT pg_reload_conf()");
      await answerTo("nothing is received", async () => ((await run("SELECT FROM pg_stat_wal_receiver")).length === 0 ? true : undefined));
    },
    promote: async () => {
      await run("SELECT pg_promote()");
    },
    signal: (name) => signal(child, name),
    stop: async () => {
      if (child.exitCode === null && child.signalCode === null) {
        const ended = once(child, "exit");
        // Also when a test has stopped it.
        await signal(child, "SIGCONT");
        child.kill("SIGQUIT");
        await ended;
      }
      await rm(folder, { recursive: true, force: true });
    },
  };
  await answerTo(
    "the server takes connections",
    async () => {
      if (child.exitCode !== null) throw new Error(`it ended: ${lastWords()}`);
      // A door that wants more than we have is an answer, too.
      return await run("SELECT 1").then(
        () => true,
        (error: { code?: string }) => (error.code?.startsWith("28") === true ? true : undefined),
      );
    },
    { context: lastWords },
  );
  return server;
}

/** A copy of the running server's files, between pg_backup_start and pg_backup_stop as the manual has it, that follows its log from there on. */
async function standbyOf(
  launcher: Launcher,
  primary: Pick<PostgresServer, "port"> & { readonly folder: string },
  name: string,
  settings: Readonly<Record<string, string>> = {},
): Promise<PostgresServer> {
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-test-pg-"));
  const client = new Client({ host: "127.0.0.1", port: primary.port, user, database: "postgres" });
  await client.connect();
  try {
    await client.query("SELECT pg_backup_start('standby', true)");
    await cp(primary.folder, folder, {
      recursive: true,
      preserveTimestamps: true,
      // The log comes by the connection. Files that go while we copy are the log's matter, too.
      filter: (source) => !/^(?:postmaster\.pid|postmaster\.opts|pgsql_tmp.*|pg_internal\.init|[0-9A-F]{24})$/.test(basename(source)),
    });
    const { rows } = await client.query<{ labelfile: string }>("SELECT labelfile FROM pg_backup_stop(false)");
    await writeFile(join(folder, "backup_label"), rows[0]!.labelfile);
  } finally {
    await client.end();
  }
  await writeFile(join(folder, "standby.signal"), "");
  // Where ALTER SYSTEM can change it: a test may want it to fall behind.
  const follow = `host=127.0.0.1 port=${primary.port} user=${user} application_name=${name}`;
  await appendFile(join(folder, "postgresql.auto.conf"), `primary_conninfo = '${follow}'\n`);
  return launch(launcher, folder, { settings: { ...settings, wal_retrieve_retry_interval: "200ms" } });
}

/** The server is the leader of its own session's group; its children have groups of their own, and its death is theirs. */
async function signal(child: ChildProcess, name: NodeJS.Signals): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = name === "SIGKILL" ? once(child, "exit") : undefined;
  for (const pid of [child.pid, ...(await childrenOf(child.pid))]) {
    try {
      process.kill(pid, name);
    } catch {
      // ended meanwhile
    }
  }
  await ended;
}

async function childrenOf(pid: number): Promise<number[]> {
  const { stdout } = await program("ps", ["-A", "-o", "pid=,ppid="]);
  return stdout
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/).map(Number))
    .filter(([, parent]) => parent === pid)
    .map(([child = 0]) => child);
}
