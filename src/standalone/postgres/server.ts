// A PostgreSQL of our own: made, started and stopped by this process, reachable through a private socket folder only.

import { spawn } from "node:child_process";
import { chmod, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { Client } from "pg";

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
  /** false only for tests: a crash of the machine may then lose data. */
  readonly fsync?: boolean;
  readonly maxConnections?: number;
  /** Tests only: take the way for machines without user namespaces. */
  readonly forbidNamespace?: boolean;
}

const database = "wharfinger";

export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const launcher = await createLauncher(await findPostgres(), { forbidNamespace: options.forbidNamespace === true });
  await mkdir(options.folder, { recursive: true, mode: 0o700 });
  await clearLeftover(options.folder);
  const made = await initialise(launcher, options.folder);
  for (const deadline = performance.now() + leftoverPatience; ; await sleep(200)) {
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

  let stopping = false;
  const stop = async () => {
    stopping = true;
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGINT");
    await ended;
    await rm(sockets, { recursive: true, force: true });
  };
  const url = (name: string) => `postgresql://${user}@localhost/${name}?host=${encodeURIComponent(sockets)}`;
  try {
    await awaitReady(url("postgres"), over.signal);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    url: url(database),
    pid: child.pid ?? 0,
    died: new Promise((resolve) => void ended.then((reason) => !stopping && resolve(reason))),
    stop,
  };
}

function settingsOf(options: EmbeddedPostgresOptions, sockets: string): string[] {
  const settings: Record<string, string> = {
    listen_addresses: "",
    unix_socket_directories: sockets,
    unix_socket_permissions: "0700",
    max_connections: String(options.maxConnections ?? 50),
    shared_buffers: "64MB",
    fsync: options.fsync === false ? "off" : "on",
    synchronous_commit: "on",
    log_min_messages: "warning",
    timezone: "UTC",
  };
  return Object.entries(settings).flatMap(([key, value]) => ["-c", `${key}=${value}`]);
}

/** Waits until it answers and has our database. */
async function awaitReady(url: string, over: AbortSignal): Promise<void> {
  for (let wait = 20; ; wait = Math.min(wait * 2, 200)) {
    over.throwIfAborted();
    const client = new Client({ connectionString: url });
    try {
      await client.connect();
      const { rowCount } = await client.query("SELECT 1 FROM pg_database WHERE datname = $1", [database]);
      if (rowCount === 0) await client.query(`CREATE DATABASE ${database}`);
      return;
    } catch (error) {
      // 57P03: still starting or recovering. No code of the server: the socket is not there yet.
      const code = (error as { code?: string }).code ?? "";
      if (!["57P03", "ENOENT", "ECONNREFUSED"].includes(code)) throw error;
    } finally {
      await client.end().catch(() => {});
    }
    await sleep(wait);
  }
}
