// A Git host: bare repositories behind git's own http backend on a TLS listener with Basic authentication, or behind sshd. It fails as it is told.

import { spawn } from "node:child_process";
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { createCertificates } from "./certificates.ts";

export interface Faults {
  /** Connections are cut as they come. */
  down?: boolean;
  /** Nothing is answered. */
  silent?: boolean;
  /** Milliseconds that a push takes longer. */
  pushTakes?: number;
  /** Answered instead of what git would say. */
  status?: number;
  location?: string;
  /** A page for people, with 200. */
  portal?: boolean;
  /** Pushes arrive, and their answer does not. */
  losesAnswers?: boolean;
}

export const credentials = { username: "wharfinger", password: "token-of-the-record" };

/** A bare repository, with what people and accidents do to it. */
export class BareRepository {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
    this.create();
  }

  create(): void {
    git(["init", "-q", "--bare", "--initial-branch=main", this.path]);
    git(["-C", this.path, "config", "http.receivepack", "true"]);
    git(["-C", this.path, "config", "receive.denyDeletes", "false"]);
  }

  delete(): void {
    rmSync(this.path, { recursive: true, force: true });
  }

  /** As when somebody deletes it at the host and makes it anew. */
  recreate(): void {
    this.delete();
    this.create();
  }

  /** A hook that declines what is pushed, and says why. Undefined takes it away. */
  decline(words: string | undefined): void {
    const hook = join(this.path, "hooks", "pre-receive");
    if (words === undefined) return rmSync(hook, { force: true });
    writeFileSync(hook, `#!/bin/sh\ncat >/dev/null\necho "${words}" >&2\nexit 1\n`);
    chmodSync(hook, 0o755);
  }

  /** git in the repository itself. */
  git(...args: string[]): string {
    return git(["-C", this.path, ...args]);
  }

  /** Null: there is no such branch. */
  head(branch = "wharfinger"): string | null {
    if (!existsSync(this.path)) return null;
    return this.git("for-each-ref", "--format=%(objectname)", `refs/heads/${branch}`) || null;
  }
}

export class GitHost {
  readonly folder = mkdtempSync(join(tmpdir(), "wharfinger-git-host-"));
  readonly faults: Faults = {};
  /** `METHOD path?query`, as they came. */
  readonly requests: string[] = [];
  readonly #server: Server;
  readonly #address: string;
  readonly #authority: string;
  #password = credentials.password;

  private constructor(server: Server, address: string, authority: string) {
    this.#server = server;
    this.#address = address;
    this.#authority = authority;
    server.on("connection", (socket) => this.faults.down === true && socket.destroy());
    server.on("request", (request, response) => void this.#serve(request, response).catch(() => response.destroy()));
  }

  /** `address`: where it listens. */
  static async start(address = "127.0.0.1"): Promise<GitHost> {
    const { authority, server: pair } = await createCertificates(address);
    const server = createServer({ cert: pair.cert, key: pair.key, keepAlive: false });
    await new Promise<void>((resolve) => server.listen(0, address, resolve));
    return new GitHost(server, address, authority);
  }

  repository(name: string): BareRepository {
    return new BareRepository(join(this.folder, `${name}.git`));
  }

  urlOf(repository: BareRepository): string {
    return `https://${this.#address}:${(this.#server.address() as AddressInfo).port}/${repository.path.split("/").at(-1) ?? ""}`;
  }

  /** Data of a Secret that opens it. */
  get secret(): Record<string, string> {
    return { ...credentials, "ca.crt": this.#authority };
  }

  /** From now on another password counts. */
  changePassword(password: string): void {
    this.#password = password;
  }

  /** Everything works again. */
  heal(): void {
    for (const fault of Object.keys(this.faults)) delete this.faults[fault as keyof Faults];
  }

  get pushes(): number {
    return this.requests.filter((request) => /^POST .*git-receive-pack/.test(request)).length;
  }

  get fetches(): number {
    return this.requests.filter((request) => /service=git-upload-pack/.test(request)).length;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { silent, status, location, portal, pushTakes, losesAnswers } = this.faults;
    this.requests.push(`${request.method ?? ""} ${request.url ?? ""}`);
    if (silent === true) return;
    if (status !== undefined) return void response.writeHead(status, location === undefined ? {} : { location }).end("no\n");
    if (portal === true)
      return void response
        .writeHead(200, { "content-type": "text/html" })
        .end("<!doctype html>\n<title>Welcome</title>\n<p>Please log in.</p>\n");
    const expected = `Basic ${Buffer.from(`${credentials.username}:${this.#password}`).toString("base64")}`;
    if (request.headers.authorization !== expected) {
      return void response.writeHead(401, { "www-authenticate": 'Basic realm="git"' }).end("no\n");
    }
    const isPush = request.method === "POST" && request.url?.endsWith("git-receive-pack") === true;
    if (isPush && pushTakes !== undefined) await sleep(pushTakes);
    const answer = await backend(this.folder, request);
    if (isPush && losesAnswers === true) return void response.destroy();
    response.writeHead(answer.status, answer.headers).end(answer.body);
  }
}

/** One request through `git http-backend`, which is a CGI program. */
async function backend(root: string, request: IncomingMessage): Promise<{ status: number; headers: Record<string, string>; body: Buffer }> {
  const url = new URL(request.url ?? "/", "https://git");
  const header = (name: string): string => String(request.headers[name] ?? "");
  const child = spawn("git", ["http-backend"], {
    env: {
      PATH: process.env["PATH"],
      GIT_PROJECT_ROOT: root,
      GIT_HTTP_EXPORT_ALL: "1",
      GIT_CONFIG_NOSYSTEM: "1",
      GIT_CONFIG_GLOBAL: "/dev/null",
      PATH_INFO: decodeURIComponent(url.pathname),
      QUERY_STRING: url.search.slice(1),
      REQUEST_METHOD: request.method ?? "GET",
      CONTENT_TYPE: header("content-type"),
      HTTP_CONTENT_ENCODING: header("content-encoding"),
      GIT_PROTOCOL: header("git-protocol"),
      REMOTE_USER: credentials.username,
      REMOTE_ADDR: "127.0.0.1",
    },
    stdio: ["pipe", "pipe", "ignore"],
  });
  const ended = new Promise<void>((resolve, reject) => child.once("error", reject).once("close", () => resolve()));
  child.stdin.on("error", () => undefined);
  request.pipe(child.stdin);
  const chunks: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
  await ended;
  const output = Buffer.concat(chunks);
  const end = output.indexOf("\r\n\r\n");
  const lines = output.toString("latin1", 0, end).split("\r\n");
  const headers = Object.fromEntries(
    lines
      .filter((line) => line !== "")
      .map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]),
  );
  const { status = "200", ...rest } = headers;
  return { status: Number.parseInt(status, 10), headers: rest, body: output.subarray(end + 4) };
}

function git(args: readonly string[]): string {
  const env = { ...process.env, GIT_CONFIG_NOSYSTEM: "1", GIT_CONFIG_GLOBAL: "/dev/null" };
  return execFileSync("git", args, { encoding: "utf8", stdio: "pipe", env }).trim();
}
