// A real connection pooler in transaction mode, in front of a test's PostgreSQL: every transaction gets another session.

import { spawn } from "node:child_process";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Client } from "pg";

import { createLauncher } from "../../src/standalone/postgres/unprivileged.ts";
import { freePort } from "./distribution.ts";
import { answerTo } from "./eventually.ts";
import { tool } from "./tools.ts";

export interface Pooler {
  /** postgresql://… through the pooler, to the database of the URL that it was given. */
  readonly url: string;
  stop(): Promise<void>;
}

/** `sessions`: connections to the server, fewer than a registry has, so that they are shared. */
export async function startPooler(server: string, { sessions = 4 }: { readonly sessions?: number } = {}): Promise<Pooler> {
  const { hostname, port: serverPort, searchParams, username, pathname } = new URL(server);
  const host = searchParams.get("host") ?? hostname;
  const program = await tool("pgbouncer");
  // It refuses to run as root, as PostgreSQL does.
  const launcher = await createLauncher({ postgres: program, initdb: program, home: undefined });
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-pooler-"));
  const port = await freePort();
  const file = join(folder, "pgbouncer.ini");
  await writeFile(
    file,
    `[databases]
* = host=${host} port=${serverPort || "5432"} user=${username}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = ${sessions}
max_client_conn = 500
server_round_robin = 1
`,
  );
  await chmod(folder, 0o755);
  await launcher.adopt(folder);
  const { file: command, args } = launcher.command(program, [file]);
  const child = spawn(command, args, { ...launcher.identity, stdio: ["ignore", "ignore", "pipe"] });
  let lastWords = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (lastWords = (lastWords + chunk).slice(-2000)));
  const ended = new Promise<void>((resolve) => child.on("close", () => resolve()));
  const endWithUs = () => void child.kill("SIGKILL");
  process.once("exit", endWithUs);
  void ended.then(() => process.off("exit", endWithUs));
  const stop = async () => {
    // SIGINT would wait for clients; there may be some that broke.
    child.kill("SIGTERM");
    await ended;
    await rm(folder, { recursive: true, force: true });
  };
  const url = `postgresql://${username}@127.0.0.1:${port}${pathname}`;
  try {
    await answerTo("the pooler answers", () => ask(url), { context: () => lastWords });
  } catch (error) {
    await stop();
    throw error;
  }
  return { url, stop };
}

async function ask(url: string): Promise<true> {
  const client = new Client({ connectionString: url });
  try {
    await client.connect();
    await client.query("SELECT 1");
    return true;
  } finally {
    await client.end().catch(() => undefined);
  }
}
