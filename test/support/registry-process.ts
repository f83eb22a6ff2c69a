// `wharfinger registry` as real processes ("pods"): any number on one database and one bucket or folder.

import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { stringify } from "yaml";

import type { S3Settings } from "../../src/registry/blobs/s3-settings.ts";

/** Of the control API of every process. */
export const processToken = "the-token-of-the-tests-with-32-characters";

const program = resolve(import.meta.dirname, "../../src/cli/main.ts");

export interface RegistryProcess {
  /** http://127.0.0.1:<port> */
  readonly url: string;
  readonly pid: number;
  /** Resolves with its exit code when it ends, whatever ended it. */
  readonly exited: Promise<number>;
  /** SIGTERM, and its exit code. */
  stop(): Promise<number>;
  signal(name: NodeJS.Signals): void;
  /** stderr and stdout so far. */
  logs(): string;
}

export interface RegistryProcessOptions {
  /** As in a settings file; those of database and bucket too. */
  readonly settings: Readonly<Record<string, unknown>>;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Arguments of Node itself, for example `--conditions=failpoints`. */
  readonly node?: readonly string[];
  /** Everybody may push, pull and delete; true by default. */
  readonly open?: boolean;
}

/** The settings' `storage.s3` of a test's service. */
export function bucketOf({ bucket, region, endpoint, prefix, forcePathStyle }: S3Settings): Record<string, unknown> {
  return { bucket, region, endpoint, prefix, forcePathStyle };
}

/** What the AWS SDK finds in the environment. */
export function credentialsOf({ credentials }: S3Settings): Record<string, string> {
  if (credentials === undefined || typeof credentials === "function") return {};
  return { AWS_ACCESS_KEY_ID: credentials.accessKeyId, AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey };
}

/** Resolves when it serves; rejects with its last words when it ends before. The control API's token is `processToken`. */
export async function startRegistryProcess(options: RegistryProcessOptions): Promise<RegistryProcess> {
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-pod-"));
  const files = { settings: join(folder, "settings.yaml"), token: join(folder, "token") };
  await writeFile(files.settings, stringify(options.settings));
  await writeFile(files.token, processToken);
  const args = ["registry", "--listen", "127.0.0.1:0", "--settings", files.settings, "--admin-token-file", files.token];
  if (options.open !== false) args.push("--allow-anonymous");
  const child = spawn(process.execPath, [...(options.node ?? []), program, ...args, ...(options.args ?? [])], {
    cwd: tmpdir(),
    env: { ...process.env, ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let logs = "";
  const exited = new Promise<number>((done) => child.once("close", (code) => done(code ?? 128)));
  const alive = () => child.exitCode === null && child.signalCode === null;
  const endWithUs = () => void child.kill("SIGKILL");
  process.once("exit", endWithUs);
  void exited.then(async () => {
    process.off("exit", endWithUs);
    await rm(folder, { recursive: true, force: true });
  });
  const url = await new Promise<string>((done, failed) => {
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      logs += chunk;
      const found = /^Serving on (http:\S+?)\.?$/m.exec(logs)?.[1];
      if (found !== undefined) done(found);
    });
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => (logs += chunk));
    child.once("error", failed);
    void exited.then((code) => failed(new Error(`registry ended with ${code} before it was ready:\n${logs}`)));
  });
  return {
    url,
    pid: child.pid ?? 0,
    exited,
    stop: () => {
      if (alive()) child.kill("SIGTERM");
      return exited;
    },
    signal: (name) => void child.kill(name),
    logs: () => logs,
  };
}
