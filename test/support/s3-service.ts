// A real S3 service with an empty bucket: versitygw over a folder, or (`npm run test:s3`) rclone.

import { spawn } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { S3Settings } from "../../src/registry/blobs/s3-settings.ts";
import { freePort } from "./distribution.ts";
import { answerTo } from "./eventually.ts";
import { endWithUs } from "./launched-server.ts";
import { use } from "./programs.ts";
import { tool, type Tool } from "./tools.ts";

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

/** How a server is started that serves `folder`/data at `address`, and a path that it answers when it is ready. */
interface Server {
  readonly tool: Tool;
  readonly args: (folder: string, address: string, options: { readonly versions: boolean }) => readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly ready: string;
}

const versitygw: Server = {
  tool: "versitygw",
  // The metadata in files beside the data: not every file system of a test machine has extended attributes.
  args: (folder, address, { versions }) => {
    const options = ["--quiet", "--keep-alive", "--port", address, "--health", "/health", "--iam-dir", join(folder, "users")];
    const kept = versions ? ["--versioning-dir", join(folder, "versions")] : [];
    return [...options, "posix", ...kept, "--sidecar", join(folder, "meta"), join(folder, "data")];
  },
  env: { ROOT_ACCESS_KEY: credentials.accessKeyId, ROOT_SECRET_KEY: credentials.secretAccessKey },
  ready: "/health",
};

const rclone: Server = {
  tool: "rclone",
  args: (folder, address) => {
    const key = `${credentials.accessKeyId},${credentials.secretAccessKey}`;
    const options = ["--config", join(folder, "rclone.conf"), "--log-level", "ERROR"];
    return ["serve", "s3", "--addr", address, "--auth-key", key, ...options, join(folder, "data")];
  },
  env: {},
  ready: "/",
};

const server = process.env["WHARFINGER_TEST_S3"] === "rclone" ? rclone : versitygw;

export interface S3ServiceOptions {
  /** Buckets may keep what was deleted; false by default. */
  readonly versions?: boolean;
  /** Where it listens; 127.0.0.1 by default. */
  readonly address?: string;
}

export async function startS3Service({ versions = false, address = "127.0.0.1" }: S3ServiceOptions = {}): Promise<S3Service> {
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-s3-"));
  for (const name of ["data", "meta", "spool", "users", "versions"]) await mkdir(join(folder, name));
  await mkdir(join(folder, "data", bucket));
  return launch(folder, `${address}:${await freePort()}`, versions);
}

async function launch(folder: string, host: string, versions: boolean): Promise<S3Service> {
  const program = await tool(server.tool);
  const child = spawn(program, server.args(folder, host, { versions }), {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, ...server.env },
  });
  endWithUs(child, folder);
  let lastWords = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (lastWords = (lastWords + chunk).slice(-2000)));
  const ended = new Promise<void>((resolve) => child.on("exit", () => resolve()));
  const endpoint = `http://${host}`;
  const stop = async () => {
    child.kill();
    await ended;
    await rm(folder, { recursive: true, force: true });
  };
  await answerTo(`${server.tool} answers`, async () => ((await fetch(endpoint + server.ready)).status < 500 ? true : undefined), {
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
  return { settings, pid: child.pid ?? 0, addUser, stop, kill9, restart: () => launch(folder, host, versions) };
}
