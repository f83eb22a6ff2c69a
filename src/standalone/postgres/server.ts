// A PostgreSQL of our own: made, started and stopped by this process, reachable through a private socket folder only.

import { spawn, type ChildProcess } from "node:child_process";
import { chmod, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { Client } from "pg";

import { findPostgres } from "./binaries.ts";
import { createLauncher, type Launcher } from "./unprivileged.ts";

export interface EmbeddedPostgres {
  /** postgresql://… for `pg`, to the database `wharfinger`. */
  readonly url: string;
  readonly pid: number;
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

const user = "wharfinger";
const database = "wharfinger";

export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const launcher = await createLauncher(await findPostgres(), { forbidNamespace: options.forbidNamespace === true });
  await mkdir(options.folder, { recursive: true, mode: 0o700 });
  await endLeftover(options.folder);
  await initialise(launcher, options.folder);

  // The guard is the folder: only its owner may enter, so the server needs no password.
  const sockets = await mkdtemp(join(tmpdir(), "wharfinger-pg-"));
  await chmod(sockets, 0o700);
  await launcher.adopt(sockets);

  const settings: Record<string, string> = {
    listen_addresses: "",
    unix_socket_directories: sockets,
    unix_socket_permissions: "0700",
    max_connections: String(options.maxConnections ?? 50),
    shared_buffers: "64MB",
    fsync: options.fsync === false ? "off" : "on",
    synchronous_commit: options.fsync === false ? "off" : "on",
    log_min_messages: "warning",
    timezone: "UTC",
  };
  const args = ["-D", options.folder, ...Object.entries(settings).flatMap(([key, value]) => ["-c", `${key}=${value}`])];
  const { file, args: argv } = launcher.command(launcher.binaries.postgres, args);
  // Its own process group: Ctrl-C reaches the terminal's whole group, and it is we who end the database, after ourselves.
  const child = spawn(file, argv, {
    ...launcher.identity,
    stdio: ["ignore", "ignore", "pipe"],
    detached: true,
    env: { PATH: process.env["PATH"] ?? "", LC_ALL: "C" },
  });
  const lastWords = collect(child);
  const ended = new Promise<string>((resolve) => {
    child.on("error", (error) => resolve(error.message));
    child.on("exit", (code, signal) => resolve(`PostgreSQL ended (${signal ?? `exit code ${code}`}): ${lastWords()}`));
  });

  let stopping = false;
  const stop = async () => {
    stopping = true;
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGINT");
    await ended;
    await rm(sockets, { recursive: true, force: true });
  };
  const url = (name: string) => `postgresql://${user}@localhost/${name}?host=${encodeURIComponent(sockets)}`;
  try {
    await Promise.race([
      awaitReady(url("postgres")),
      ended.then((reason) => {
        throw new Error(reason);
      }),
    ]);
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

function collect(child: ChildProcess): () => string {
  let text = "";
  child.stderr?.setEncoding("utf8").on("data", (chunk: string) => (text = (text + chunk).slice(-4000)));
  return () => text.trim();
}

async function initialise(launcher: Launcher, folder: string): Promise<void> {
  await launcher.adopt(folder);
  const entries = await readdir(folder);
  if (entries.includes("PG_VERSION") && entries.includes("wharfinger-initialised")) return;
  // initdb was cut off half way: nothing was ever served from it.
  for (const entry of entries) await rm(join(folder, entry), { recursive: true, force: true });
  const args = ["-D", folder, "--username", user, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-instructions"];
  const { file, args: argv } = launcher.command(launcher.binaries.initdb, args);
  await new Promise<void>((resolve, reject) => {
    const child = spawn(file, argv, {
      ...launcher.identity,
      stdio: ["ignore", "ignore", "pipe"],
      env: { PATH: process.env["PATH"] ?? "", LC_ALL: "C" },
    });
    const lastWords = collect(child);
    child.on("error", reject);
    child.on("exit", (code) => (code === 0 ? resolve() : reject(new Error(`initdb failed (exit code ${code}): ${lastWords()}`))));
  });
  await writeFile(join(folder, "wharfinger-initialised"), "");
  await launcher.adopt(folder);
}

/** Waits until it answers and has our database. */
async function awaitReady(url: string): Promise<void> {
  for (let wait = 20; ; wait = Math.min(wait * 2, 200)) {
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

/** A server that outlived our crash is ended: its socket is unknown to us, and two on one folder would be refused. */
async function endLeftover(folder: string): Promise<void> {
  const text = await readFile(join(folder, "postmaster.pid"), "utf8").catch(() => "");
  const pid = Number(text.split("\n")[0]);
  if (!Number.isInteger(pid) || pid <= 1 || !(await isOurPostmaster(pid, folder))) return;
  const signals: NodeJS.Signals[] = ["SIGINT", "SIGQUIT", "SIGKILL"];
  for (const signal of signals) {
    process.kill(pid, signal);
    for (let waited = 0; waited < 10_000; waited += 50) {
      if (!(await isOurPostmaster(pid, folder))) return;
      await sleep(50);
    }
  }
  throw new Error(`A PostgreSQL server (process ${pid}) still runs on ${folder} and does not end. End it and start again.`);
}

async function isOurPostmaster(pid: number, folder: string): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  if (process.platform !== "linux") return true; // postmaster.pid is all we have
  const commandLine = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
  return commandLine.split("\0").includes(folder);
}
