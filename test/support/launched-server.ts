// A server of a test as a child process that cannot outlive it: not even when the test's process is killed.

import { spawn, type ChildProcess } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";

export interface LaunchedServer {
  readonly pid: number;
  /** Resolves when it has ended, with how. */
  readonly ended: Promise<string>;
  /** The end of its log. */
  readonly lastWords: () => string;
  kill9(): Promise<void>;
}

export interface LaunchOptions {
  /** The file that stdout and stderr are appended to. */
  readonly log: string;
  /** Goes when this process ends without having ended the server; none by default. */
  readonly folder?: string;
}

/**
 * For programs written in Go: garbage is collected when there is five times what lives, not twice. That takes half as much memory again and spares
 * an API server a sixth of its processor time.
 */
export const rarelyCollecting = { GOGC: "400" };

/**
 * Reads a pipe of which we alone hold the other end, whose end is ours: then the server goes, and its folder.
 * A server that is being started while it goes might still write there.
 */
const guard = 'read -r _; kill -9 "$1"; while [ -n "$2" ] && ! rm -rf "$2" 2>/dev/null; do sleep 0.1; done';

/** Ends a process with this one, however that ends, and then removes `folder`. */
export function endWithUs(child: ChildProcess, folder = ""): void {
  if (child.pid === undefined) return;
  const watcher = spawn("sh", ["-c", guard, "guard", String(child.pid), folder], { stdio: ["pipe", "ignore", "ignore"], detached: true });
  watcher.stdin?.on("error", () => {}); // it ends when we say so
  watcher.on("error", () => child.kill("SIGKILL"));
  // Its process id may soon be somebody else's.
  child.once("exit", () => watcher.kill("SIGKILL"));
}

export function launchServer(file: string, args: readonly string[], { log, folder }: LaunchOptions): LaunchedServer {
  const output = openSync(log, "a");
  // In a process group of its own: Ctrl-C reaches the terminal's whole group, and it is we who end it.
  const child = spawn(file, args, { stdio: ["ignore", output, output], detached: true, env: { ...rarelyCollecting, ...process.env } });
  closeSync(output);
  endWithUs(child, folder);
  const ended = new Promise<string>((resolve) => {
    child.on("error", (error) => resolve(`could not be started (${error.message})`));
    child.on("exit", (code, signal) => resolve(`ended (${signal ?? `exit code ${code}`})`));
  });
  return {
    pid: child.pid ?? 0,
    ended,
    lastWords: () => readFileSync(log, "utf8").slice(-4000),
    kill9: async () => {
      child.kill("SIGKILL");
      await ended;
    },
  };
}
