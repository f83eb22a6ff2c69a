// A PostgreSQL of our own: made, started and stopped by this process, reachable through a private socket folder only.

import { spawn } from "node:child_process";
import { chmod, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { DriverClient } from "../../registry/metadata/driver.ts";
import { reasonOf } from "../../registry/metadata/unavailable.ts";
import { findPostgres } from "./binaries.ts";
import { collect, initialise, user } from "./cluster.ts";
import { clearLeftover, socketPrefix } from "./leftover.ts";
import { createLauncher, type Launcher } from "./unprivileged.ts";

export interface EmbeddedPostgres {
  /** postgresql://… for `pg`, to the database `wharfinger`. */
  readonly url: string;
  readonly pid: number;
  /** This start made the cluster: nothing is in it. */
  readonly made: boolean;
  /** Resolves when the server has ended by itself, with what it said last; never after `stop`. */
  readonly died: Promise<string>;
  /** Fast shutdown: sessions are ended, everything is on disk. */
  stop(): Promise<void>;
}

export interface EmbeddedPostgresOptions {
  /** The cluster's folder; made when it is empty. */
  readonly folder: string;
  /** false only for tests: a crash of the machine may then lose data, and the log is no more than a crash of the server needs. */
  readonly fsync?: boolean;
  readonly maxConnections?: number;
  /** Aborted: the start rejects with its reason, and the server is ended. */
  readonly signal?: AbortSignal;
  /** The server's process runs, and would outlive ours; long before it answers. */
  readonly onLaunched?: (pid: number) => void;
  /** How long a server that runs may say nothing at all, milliseconds; while it recovers it says so. */
  readonly patience?: number;
  /** Tests only: take the way for machines without user namespaces. */
  readonly forbidNamespace?: boolean;
}

const database = "wharfinger";
/** Names the socket's file. */
const port = 5432;
const silencePatience = 60_000;

export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const launcher = await createLauncher(await findPostgres(), { forbidNamespace: options.forbidNamespace === true });
  await mkdir(options.folder, { recursive: true, mode: 0o700 });
  // PostgreSQL takes no folder that others may write, and a kubelet opens a volume's to its group (`fsGroup`) whenever a Pod starts.
  await chmod(options.folder, 0o700);
  await clearLeftover(options.folder);
  const made = await initialise(launcher, options.folder);
  for (const deadline = performance.now() + leftoverPatience; ; await sleep(200)) {
    options.signal?.throwIfAborted();
    try {
      return { ...(await launch(launcher, options)), made };
    } catch (error) {
      if (performance.now() > deadline || !leftoverSessions.test((error as Error).message)) throw error;
    }
  }
}

/** Sessions of a server that was killed notice it at their next step, and hold its shared memory until then. */
const leftoverSessions = /pre-existing shared memory block|lock file "postmaster\.pid"/;
const leftoverPatience = 30_000;

async function launch(launcher: Launcher, options: EmbeddedPostgresOptions): Promise<Omit<EmbeddedPostgres, "made">> {
  // The guard is the folder: only its owner may enter, so the server needs no password.
  const sockets = await mkdtemp(join(tmpdir(), socketPrefix));
  await chmod(sockets, 0o700);
  await launcher.adopt(sockets);
  const { file, args } = launcher.command(launcher.binaries.postgres, ["-D", options.folder, ...settingsOf(options, sockets)]);
  // Its own process group: Ctrl-C reaches the terminal's whole group, and it is we who end the database, after ourselves.
  const child = spawn(file, args, {
    ...launcher.identity,
    stdio: ["ignore", "ignore", "pipe"],
    detached: true,
    env: { PATH: process.env["PATH"] ?? "", LC_ALL: "C" },
  });
  const lastWords = collect(child);
  const over = new AbortController();
  const ended = new Promise<string>((resolve) => {
    child.on("error", (error) => resolve(error.message));
    child.on("close", (code, signal) => resolve(`PostgreSQL ended (${signal ?? `exit code ${code}`}): ${lastWords()}`));
  });
  void ended.then((reason) => over.abort(new Error(reason)));
  const pid = child.pid ?? 0;
  if (pid > 0) options.onLaunched?.(pid);

  let stopping = false;
  const stop = async () => {
    stopping = true;
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGINT");
    await ended;
    await rm(sockets, { recursive: true, force: true });
  };
  const url = (name: string) => `postgresql://${user}@localhost:${port}/${name}?host=${encodeURIComponent(sockets)}&sslmode=disable`;
  const { patience = silencePatience } = options;
  try {
    await awaitReady(url("postgres"), {
      patience,
      over: AbortSignal.any([over.signal, ...(options.signal === undefined ? [] : [options.signal])]),
    });
  } catch (error) {
    // Whoever says nothing may not hear that it is to end either.
    if (error instanceof Silent) child.kill("SIGKILL");
    await stop();
    throw error;
  }
  return {
    url: url(database),
    pid,
    died: new Promise((resolve) => void ended.then((reason) => !stopping && resolve(reason))),
    stop,
  };
}

function settingsOf(options: EmbeddedPostgresOptions, sockets: string): string[] {
  const settings: Record<string, string> = {
    listen_addresses: "",
    port: String(port),
    unix_socket_directories: sockets,
    unix_socket_permissions: "0700",
    max_connections: String(options.maxConnections ?? 50),
    shared_buffers: "64MB",
    fsync: options.fsync === false ? "off" : "on",
    synchronous_commit: "on",
    // A run of the tests copies a database a thousand times, and most of a copy is what the log gets of it.
    ...(options.fsync === false && { wal_level: "minimal", max_wal_senders: "0" }),
    log_min_messages: "warning",
    timezone: "UTC",
  };
  return Object.entries(settings).flatMap(([key, value]) => ["-c", `${key}=${value}`]);
}

/** The server runs, and its socket is not there, or nobody answers at it. */
class Silent extends Error {
  override readonly name = "Silent";
}

/** Waits until it answers and has our database. Rejects with the signal's reason, or with Silent. */
async function awaitReady(url: string, { patience, over }: { readonly patience: number; readonly over: AbortSignal }): Promise<void> {
  let heard = performance.now();
  for (let wait = 20; ; wait = Math.min(wait * 2, 200)) {
    over.throwIfAborted();
    const client = new DriverClient({ connectionString: url, connectionTimeoutMillis: Math.min(patience, 5_000) });
    client.on("error", () => {}); // the server ends between two questions
    try {
      await client.connect();
      const { rowCount } = await client.query("SELECT 1 FROM pg_database WHERE datname = $1", [database]);
      if (rowCount === 0) await client.query(`CREATE DATABASE ${database}`);
      return;
    } catch (error) {
      over.throwIfAborted();
      const reason = reasonOf(error);
      // A connection that broke off is that of a server which ends: how it ended says more.
      if (reason !== "UNREACHABLE" && reason !== "LOST") throw error;
      // Still starting or recovering, and saying so.
      if ((error as { code?: string }).code === "57P03") heard = performance.now();
      else if (performance.now() - heard > patience) {
        throw new Silent(
          `PostgreSQL runs and did not answer within ${patience / 1000} s (${(error as Error).message}): it was ended, and nothing is lost. Start again.`,
          { cause: error },
        );
      }
    } finally {
      await client.end().catch(() => {});
    }
    await sleep(wait);
  }
}
