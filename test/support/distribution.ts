// CNCF distribution as a real upstream: a folder, a free port, optionally a password.

import { randomInt } from "node:crypto";
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { hash } from "bcryptjs";
import { Agent, request } from "undici";

import type { S3Settings } from "../../src/registry/blobs/s3-settings.ts";
import type { KeyPair } from "./certificates.ts";
import { endWithUs } from "./launched-server.ts";
import { tool } from "./tools.ts";

export interface Distribution {
  /** host:port, as it stands in image references. */
  readonly host: string;
  readonly url: string;
  readonly pid: number;
  /** Its configuration file, for its other commands. */
  readonly config: string;
  stop(): Promise<void>;
}

export interface DistributionOptions {
  readonly user?: { readonly name: string; readonly password: string };
  /** Where it listens; 127.0.0.1 by default. */
  readonly address?: string;
  /** A free one by default. */
  readonly port?: number;
  /** Served by https, with a certificate for `address` of that authority (PEM). */
  readonly tls?: KeyPair & { readonly authority: string };
  /** Keep the data here; a temporary folder that goes with it by default. */
  readonly folder?: string;
  /** Keep the data in a bucket instead, below `prefix`. */
  readonly bucket?: Pick<S3Settings, "bucket" | "region" | "endpoint" | "prefix"> & {
    readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
  };
}

export async function startDistribution(options: DistributionOptions = {}): Promise<Distribution> {
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-distribution-"));
  const port = options.port ?? (await freePort());
  const host = `${options.address ?? "127.0.0.1"}:${port}`;
  const auth = options.user === undefined ? "" : `auth: {htpasswd: {realm: upstream, path: ${join(folder, "htpasswd")}}}\n`;
  if (options.user !== undefined)
    await writeFile(join(folder, "htpasswd"), `${options.user.name}:${await hash(options.user.password, 4)}\n`);
  if (options.tls !== undefined) {
    await writeFile(join(folder, "tls.crt"), options.tls.cert);
    await writeFile(join(folder, "tls.key"), options.tls.key, { mode: 0o600 });
  }
  const config = join(folder, "config.yml");
  await writeFile(
    config,
    `version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {${storageOf(options, folder)}, delete: {enabled: true}}
http: {addr: "${host}"${options.tls === undefined ? "" : `, tls: {certificate: ${join(folder, "tls.crt")}, key: ${join(folder, "tls.key")}}`}}
validation: {manifests: {urls: {allow: ["^https://layers.example.com/"]}}}
${auth}`,
  );
  const child = spawn(await tool("registry"), ["serve", config], {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, OTEL_TRACES_EXPORTER: "none" },
  });
  endWithUs(child, folder);
  let lastWords = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (lastWords = (lastWords + chunk).slice(-2000)));
  const ended = new Promise<void>((resolve) => child.on("exit", () => resolve()));
  const url = `${options.tls === undefined ? "http" : "https"}://${host}`;
  const client = new Agent({ connect: { ca: options.tls?.authority } });
  for (let waited = 0; !(await answers(url, client)); waited += 50) {
    if (child.exitCode !== null || waited > 20_000) throw new Error(`distribution did not start: ${lastWords}`);
    await sleep(50);
  }
  await client.close();
  return {
    host,
    url,
    pid: child.pid ?? 0,
    config,
    async stop() {
      child.kill("SIGTERM");
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Its s3 driver asks a bucket for paths, as all but AWS want it. */
function storageOf({ bucket, folder: data }: DistributionOptions, folder: string): string {
  if (bucket === undefined) return `filesystem: {rootdirectory: ${data ?? join(folder, "data")}}`;
  const { accessKeyId, secretAccessKey } = bucket.credentials;
  return `s3: {region: ${bucket.region}, regionendpoint: "${bucket.endpoint}", bucket: ${bucket.bucket}, rootdirectory: /${bucket.prefix}, accesskey: ${accessKeyId}, secretkey: ${secretAccessKey}, secure: false, forcepathstyle: true}`;
}

async function answers(url: string, dispatcher: Agent): Promise<boolean> {
  try {
    const { statusCode, body } = await request(`${url}/v2/`, { dispatcher });
    await body.dump();
    return statusCode === 200 || statusCode === 401;
  } catch {
    return false;
  }
}

/** Below those that systems give to whoever asks for any: none of the connections and servers that come and go beside us takes it meanwhile. */
const ports = { from: 15_000, to: 32_000 };

/** A port that is free, and that only another caller of this function could take before it is used: one in thousands. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(ports.from, ports.to);
    if (await isFree(port)) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", (error: NodeJS.ErrnoException) => (error.code === "EADDRINUSE" ? resolve(false) : reject(error)));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
