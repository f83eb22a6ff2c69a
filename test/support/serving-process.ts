// A program of ours that serves, as a child process: it says where it is before anybody goes there, and does not outlive the test's process.

import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

import { stringify } from "yaml";

/** Of the control API of every process. */
export const processToken = "the-token-of-the-tests-with-32-characters";

const program = resolve(import.meta.dirname, "../../src/cli/main.ts");

export interface ServingProcess {
  /** http://127.0.0.1:<port> */
  readonly url: string;
  /** Of a registry's control API and of its probes, where they have listeners of their own. */
  readonly controlUrl: string;
  readonly adminUrl: string;
  /** The line that said it serves. */
  readonly ready: string;
  readonly pid: number;
  /** Resolves with its exit code when it ends, whatever ended it. */
  readonly exited: Promise<number>;
  /** SIGTERM, and its exit code. */
  stop(): Promise<number>;
  kill9(): Promise<void>;
  signal(name: NodeJS.Signals): void;
  /** stderr and stdout so far. */
  logs(): string;
}

export interface ServingOptions {
  /** How the line of its stdout begins that says where it serves. */
  readonly ready: string;
  readonly env?: Readonly<Record<string, string>>;
  /** What it gets when this process ends: SIGKILL by default. */
  readonly lastSignal?: NodeJS.Signals;
  /** Called at once, for what is to be seen of a process that does not serve yet. */
  readonly launched?: (process: Launched) => void;
}

export type Launched = Pick<ServingProcess, "stop" | "logs" | "exited">;

/** Resolves when it serves; rejects with its last words when it ends before. */
export async function startServing(command: readonly string[], options: ServingOptions): Promise<ServingProcess> {
  const [file = "", ...words] = command;
  const child = spawn(file, words, {
    // Not the checkout: whatever the process needs it must find by its own means.
    cwd: tmpdir(),
    env: { ...process.env, ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const endWithUs = () => void child.kill(options.lastSignal ?? "SIGKILL");
  process.once("exit", endWithUs);
  let logs = "";
  const exited = new Promise<number>((done) => child.once("close", (code) => done(code ?? 128)));
  void exited.then(() => process.off("exit", endWithUs));
  const signal = (name: NodeJS.Signals) => {
    if (child.exitCode === null && child.signalCode === null) child.kill(name);
  };
  const stop = () => {
    signal("SIGTERM");
    return exited;
  };
  options.launched?.({ stop, exited, logs: () => logs });
  const ready = await new Promise<string>((done, failed) => {
    createInterface({ input: child.stdout }).on("line", (line) => {
      logs += `${line}\n`;
      if (line.startsWith(options.ready)) done(line);
    });
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => (logs += chunk));
    child.once("error", failed);
    void exited.then((code) => failed(new Error(`${words.join(" ")} ended with ${code} before it was ready:\n${logs}`)));
  });
  const url = /https?:\/\/\S+:\d+/.exec(ready)?.[0] ?? "";
  const apart = (what: string) => new RegExp(`; ${what} on (\\S+:\\d+)`).exec(ready)?.[1] ?? url;
  return {
    url,
    controlUrl: apart("the control API"),
    adminUrl: apart("probes and metrics"),
    ready,
    pid: child.pid ?? 0,
    exited,
    stop,
    kill9: async () => {
      signal("SIGKILL");
      await exited;
    },
    signal,
    logs: () => logs,
  };
}

export interface SubcommandOptions extends ServingOptions {
  /** As in a settings file. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** The option that takes the file with `processToken`; undefined: it gets none. */
  readonly tokenOption: string | undefined;
  readonly args: readonly string[];
  /** Arguments of Node itself, for example `--conditions=failpoints`. */
  readonly node?: readonly string[];
}

/** `startServing` with a subcommand from src/ on a free port, with files of its own that go when it ends. */
export async function startSubcommand(subcommand: string, options: SubcommandOptions): Promise<ServingProcess> {
  const { settings, tokenOption, args, node = [] } = options;
  const folder = await mkdtemp(join(tmpdir(), `wharfinger-${subcommand}-`));
  const files = { settings: join(folder, "settings.yaml"), token: join(folder, "token") };
  await writeFile(files.settings, stringify(settings));
  await writeFile(files.token, processToken);
  const common = [
    "--listen",
    "127.0.0.1:0",
    "--settings",
    files.settings,
    ...(tokenOption === undefined ? [] : [tokenOption, files.token]),
  ];
  const removeFiles = () => rm(folder, { recursive: true, force: true });
  // An operator that is killed leaves what it had for its git.
  const env = subcommand === "operator" ? { TMPDIR: folder, ...options.env } : (options.env ?? {});
  try {
    const started = await startServing([process.execPath, ...node, program, subcommand, ...common, ...args], { ...options, env });
    void started.exited.then(removeFiles);
    return started;
  } catch (error) {
    await removeFiles();
    throw error;
  }
}
