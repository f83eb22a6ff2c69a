// A whole standalone process as a child: `wharfinger serve` on a free port, with folders of its own, and its command line.

import { readFileSync, rmSync } from "node:fs";
import { mkdir, mkdtemp } from "node:fs/promises";
import { join, resolve } from "node:path";

import { program, type ProgramOptions, type ProgramResult } from "./programs.ts";
import { temporaryFolder } from "./global-temporary.ts";
import { startServing, type ServingProcess } from "./serving-process.ts";

const root = resolve(import.meta.dirname, "../..");

export interface StandaloneOptions {
  /** Folder with the resources; an empty one is made when it is left out. */
  readonly config?: string;
  /** Data folder; made when it is left out. */
  readonly data?: string;
  /** Settings file. */
  readonly settings?: string;
  /** More arguments of `serve`. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Run dist/, as users do, instead of src/. Built by the caller: `npm run build`. */
  readonly build?: boolean;
  /** What the process is started by: a program and its arguments, which runs those that follow. */
  readonly under?: readonly string[];
}

export interface Standalone extends ServingProcess {
  readonly data: string;
  readonly config: string;
  /** SIGTERM, and its exit code. The folders stay; those that were made here go with this process. */
  stop(): Promise<number>;
  /** The same again on the same folders, after `stop` or `kill9`. */
  restart(more?: Pick<StandaloneOptions, "args" | "settings">): Promise<Standalone>;
  /** Any subcommand, against this process. */
  cli(args: readonly string[], options?: ProgramOptions): Promise<ProgramResult>;
}

const programOf = (build: boolean) => join(root, build ? "dist/cli/main.js" : "src/cli/main.ts");

/** Resolves when it serves; rejects with its last words when it ends before. */
export async function startStandalone(options: StandaloneOptions = {}): Promise<Standalone> {
  const made = await mkdtemp(join(temporaryFolder(), "standalone-"));
  const folders = { data: options.data ?? join(made, "data"), config: options.config ?? join(made, "config") };
  if (options.config === undefined) await mkdir(folders.config);
  temporary.add(made);
  return launch({ ...options, ...folders });
}

async function launch(options: StandaloneOptions & { data: string; config: string }): Promise<Standalone> {
  const build = options.build === true;
  const args = ["serve", "--listen", "127.0.0.1:0", "--data", options.data, "--config", options.config];
  if (options.settings !== undefined) args.push("--settings", options.settings);
  const command = [...(options.under ?? []), process.execPath, programOf(build), ...args, ...(options.args ?? [])];
  // So that it ends its PostgreSQL.
  const serving = await startServing(command, { ready: "Serving ", env: options.env ?? {}, lastSignal: "SIGTERM" });
  return {
    ...serving,
    data: options.data,
    config: options.config,
    restart: (more = {}) => launch({ ...options, ...more }),
    cli: (words, more) => wharfinger([...words, ...(words[0] === "validate" ? [] : ["--data", options.data])], { build, ...more }),
  };
}

/** Runs the command line. */
export function wharfinger(args: readonly string[], options: ProgramOptions & { readonly build?: boolean } = {}): Promise<ProgramResult> {
  return program(process.execPath, [programOf(options.build === true), ...args], options);
}

const temporary = new Set<string>();
process.once("exit", () => {
  for (const folder of temporary) {
    endDatabase(join(folder, "data"));
    rmSync(folder, { recursive: true, force: true });
  }
});

/** A process that was killed leaves its PostgreSQL to the next start; when there is none, it ends here. */
function endDatabase(data: string): void {
  try {
    const pid = Number(readFileSync(join(data, "postgres/postmaster.pid"), "utf8").split("\n")[0]);
    if (pid > 1) process.kill(pid, "SIGQUIT");
  } catch {
    // ended already
  }
}
