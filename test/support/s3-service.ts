// A real S3 service with an empty bucket: versitygw over a folder.

import { spawn } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { S3Settings } from "../../src/registry/blobs/s3-settings.ts";
import { freePort } from "./distribution.ts";
import { answerTo } from "./eventually.ts";
import { use } from "./programs.ts";
import { tool } from "./tools.ts";

export interface S3Service {
  readonly settings: S3Settings & { readonly credentials: typeof credentials };
  readonly pid: number;
  /** Somebody who may do nothing until a policy of the bucket says so. Resolves with the settings of his. */
  addUser(name: string): Promise<S3Service["settings"]>;
  /** Ends it with its data. */
  stop(): Promise<void>;
  kill9(): Promise<void>;
  /** The same again on the same port with the same data, after `kill9`. */
  restart(): Promise<S3Service>;
}

const credentials = { accessKeyId: "wharfinger", secretAccessKey: "wharfinger-tests" };
const bucket = "registry";

/** `versions`: buckets may keep what was deleted. */
export async function startS3Service({ versions: keeps = false }: { readonly versions?: boolean } = {}): Promise<S3Service> {
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-s3-"));
  for (const name of ["data", "meta", "spool", "users", "versions"]) await mkdir(join(folder, name));
  await mkdir(join(folder, "data", bucket));
  return launch(folder, await freePort(), keeps);
}

async function launch(folder: string, port: number, keeps: boolean): Promise<S3Service> {
  const program = await tool("versitygw");
  // The metadata in files beside the data: not every file system of a test machine has extended attributes.
  const options = ["--quiet", "--keep-alive", "--port", `127.0.0.1:${port}`, "--health", "/health", "--iam-dir", join(folder, "users")];
  const versions = keeps ? ["--versioning-dir", join(folder, "versions")] : [];
  const child = spawn(program, [...options, "posix", ...versions, "--sidecar", join(folder, "meta"), join(folder, "data")], {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, ROOT_ACCESS_KEY: credentials.accessKeyId, ROOT_SECRET_KEY: credentials.secretAccessKey },
  });
  let lastWords = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (lastWords = (lastWords + chunk).slice(-2000)));
  const ended = new Promise<void>((resolve) => child.on("exit", () => resolve()));
  const endpoint = `http://127.0.0.1:${port}`;
  const stop = async () => {
    child.kill();
    await ended;
    await rm(folder, { recursive: true, force: true });
  };
  await answerTo("versitygw answers", async () => ((await fetch(`${endpoint}/health`)).ok ? true : undefined), {
    context: () => lastWords,
  }).catch(async (error: unknown) => {
    await stop();
    throw error;
  });
  const settings = {
    bucket,
    region: "us-east-1",
    endpoint,
    prefix: "",
    forcePathStyle: true,
    credentials,
    connections: 256,
    spoolFolder: join(folder, "spool"),
    partMemory: 64 * 1024 * 1024,
  };
  const addUser = async (name: string) => {
    const own = { accessKeyId: name, secretAccessKey: `${name}-secret` };
    const root = ["--access", credentials.accessKeyId, "--secret", credentials.secretAccessKey, "--endpoint-url", endpoint];
    await use("versitygw", ["admin", ...root, "create-user", "--access", name, "--secret", own.secretAccessKey, "--role", "user"]);
    return { ...settings, credentials: own };
  };
  const kill9 = async () => {
    child.kill("SIGKILL");
    await ended;
  };
  return { settings, pid: child.pid ?? 0, addUser, stop, kill9, restart: () => launch(folder, port, keeps) };
}
