// `wharfinger operator` as a real process.

import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { stringify } from "yaml";

import { processToken } from "./registry-process.ts";

const program = resolve(import.meta.dirname, "../../src/cli/main.ts");

export interface OperatorProcess {
  /** Of its probes: http://127.0.0.1:<port> */
  readonly url: string;
  readonly pid: number;
  /** Resolves with its exit code when it ends, whatever ended it. */
  readonly exited: Promise<number>;
  /** SIGTERM, and its exit code. */
  stop(): Promise<number>;
  kill9(): Promise<void>;
  /** stderr and stdout so far. */
  logs(): string;
}

export interface OperatorProcessOptions {
  readonly kubeconfig: string;
  /** The administrators' first. */
  readonly namespaces: readonly string[];
  /** The registry's; its control API's token is `processToken`. */
  readonly registry: string;
  /** Folder of the record. */
  readonly record: string;
  readonly settings?: Readonly<Record<string, unknown>>;
}

/** Resolves when its probes answer; rejects with its last words when it ends before. */
export async function startOperatorProcess(options: OperatorProcessOptions): Promise<OperatorProcess> {
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-operator-"));
  const files = { settings: join(folder, "settings.yaml"), token: join(folder, "token") };
  await writeFile(files.settings, stringify(options.settings ?? {}));
  await writeFile(files.token, processToken);
  const namespaces = options.namespaces.flatMap((namespace) => ["--namespace", namespace]);
  const args = ["--registry", options.registry, "--token-file", files.token, "--record", options.record, "--settings", files.settings];
  const child = spawn(process.execPath, [program, "operator", "--listen", "127.0.0.1:0", ...args, ...namespaces], {
    cwd: tmpdir(),
    env: { ...process.env, KUBECONFIG: options.kubeconfig },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let logs = "";
  const exited = new Promise<number>((done) => child.once("close", (code) => done(code ?? 128)));
  const end = (signal: NodeJS.Signals) => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    return exited;
  };
  const endWithUs = () => void child.kill("SIGKILL");
  process.once("exit", endWithUs);
  void exited.then(async () => {
    process.off("exit", endWithUs);
    await rm(folder, { recursive: true, force: true });
  });
  const url = await new Promise<string>((done, failed) => {
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      logs += chunk;
      const found = /^Watching .* on (http:\S+?)\.?$/m.exec(logs)?.[1];
      if (found !== undefined) done(found);
    });
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => (logs += chunk));
    child.once("error", failed);
    void exited.then((code) => failed(new Error(`operator ended with ${code} before it was ready:\n${logs}`)));
  });
  return { url, pid: child.pid ?? 0, exited, stop: () => end("SIGTERM"), kill9: async () => void (await end("SIGKILL")), logs: () => logs };
}
