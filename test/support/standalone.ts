// A whole standalone process as a child: `wharfinger serve` on a free port, with folders of its own, and its command line.

import { spawn, type ChildProcess } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { mkdir, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { program, type ProgramOptions, type ProgramResult } from "./programs.ts";

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

export interface Standalone {
  /** http://127.0.0.1:<port> */
  readonly url: string;
  readonly pid: number;
  readonly data: string;
  readonly config: string;
  /** The line that said it is ready. */
  readonly ready: string;
  /** SIGTERM, and its exit code. The folders stay; those that were made here go with this process. */
  stop(): Promise<number>;
  kill9(): Promise<void>;
  /** Resolves with its exit code when it ends, whatever ended it. */
  readonly exited: Promise<number>;
  /** The same again on the same folders, after `stop` or `kill9`. */
  restart(more?: Pick<StandaloneOptions, "args" | "settings">): Promise<Standalone>;
  /** stderr and stdout so far. */
  logs(): string;
  /** Any subcommand, against this process. */
  cli(args: readonly string[], options?: ProgramOptions): Promise<ProgramResult>;
}

const programOf = (build: boolean) => join(root, build ? "dist/cli/main.js" : "src/cli/main.ts");

/** Resolves when it serves; rejects with its last words when it ends before. */
export async function startStandalone(options: StandaloneOptions = {}): Promise<Standalone> {
  const made = await mkdtemp(join(tmpdir(), "wharfinger-standalone-"));
  const folders = { data: options.data ?? join(made, "data"), config: options.config ?? join(made, "config") };
  if (options.config === undefined) await mkdir(folders.config);
  temporary.add(made);
  return launch({ ...options, ...folders });
}

async function launch(options: StandaloneOptions & { data: string; config: string }): Promise<Standalone> {
  const build = options.build === true;
  const args = ["serve", "--listen", "127.0.0.1:0", "--data", options.data, "--config", options.config];
  if (options.settings !== undefined) args.push("--settings", options.settings);
  const [file = "", ...words] = [...(options.under ?? []), process.execPath, programOf(build), ...args, ...(options.args ?? [])];
  const child = spawn(file, words, {
    // Not the checkout: whatever the process needs it must find by its own means.
    cwd: tmpdir(),
    env: { ...process.env, ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  started.set(child, options.data);
  let logs = "";
  const ended = new Promise<number>((done) => child.once("close", (code) => done(code ?? 128)));
  void ended.then(() => started.delete(child));
  const ready = await new Promise<string>((done, failed) => {
    let stdout = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      logs += chunk;
      stdout += chunk;
      const line = /^Serving (?:.*)$/m.exec(stdout)?.[0];
      if (line !== undefined && stdout.includes(`${line}\n`)) done(line);
    });
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => (logs += chunk));
    child.once("error", failed);
    void ended.then((code) => failed(new Error(`serve ended with ${code} before it was ready:\n${logs}`)));
  });
  const signal = (name: NodeJS.Signals) => {
    if (child.exitCode === null && child.signalCode === null) child.kill(name);
    return ended;
  };
  return {
    url: /http:\/\/[^\s/)]+/.exec(ready)?.[0] ?? "",
    pid: child.pid ?? 0,
    data: options.data,
    config: options.config,
    ready,
    exited: ended,
    stop: () => signal("SIGTERM"),
    kill9: async () => void (await signal("SIGKILL")),
    restart: (more = {}) => launch({ ...options, ...more }),
    logs: () => logs,
    cli: (words, more) => wharfinger([...words, ...(words[0] === "validate" ? [] : ["--data", options.data])], { build, ...more }),
  };
}

/** Runs the command line. */
export function wharfinger(args: readonly string[], options: ProgramOptions & { readonly build?: boolean } = {}): Promise<ProgramResult> {
  return program(process.execPath, [programOf(options.build === true), ...args], options);
}

/** What this process started and has not ended yet, with its data folder. */
const started = new Map<ChildProcess, string>();
const temporary = new Set<string>();
process.once("exit", () => {
  for (const child of started.keys()) child.kill("SIGTERM");
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
