// Running a program to its end and reading what it said.

import { spawn } from "node:child_process";

import { tool, type Tool } from "./tools.ts";

export interface ProgramResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ProgramOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string | Uint8Array;
  /** Milliseconds after which it is killed. */
  readonly timeout?: number;
}

/** Runs any program; resolves with whatever exit code it had. */
export function program(file: string, args: readonly string[], options: ProgramOptions = {}): Promise<ProgramResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ["pipe", "pipe", "pipe"],
      timeout: options.timeout ?? 120_000,
    });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
    child.on("error", reject);
    child.on("close", (code, signal) => {
      resolve({
        code: code ?? (signal === null ? 1 : 128),
        stdout: Buffer.concat(stdout).toString(),
        stderr: Buffer.concat(stderr).toString(),
      });
    });
    child.stdin.on("error", () => {}); // it may end without reading
    child.stdin.end(options.input ?? "");
  });
}

/** Runs one of the tests' tools; rejects with its last words unless it ends with 0. Resolves with its stdout, trimmed. */
export async function use(name: Tool, args: readonly string[], options: ProgramOptions = {}): Promise<string> {
  const result = await program(await tool(name), args, options);
  if (result.code !== 0) throw new Error(`${name} ${args.join(" ")} ended with ${result.code}:\n${result.stderr}${result.stdout}`);
  return result.stdout.trim();
}
