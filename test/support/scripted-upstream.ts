// A registry that misbehaves on request: a real HTTP(S) server with real content, challenges and tokens, and faults by script.
// Everything that reaches it is written down, so that a test can say what was asked, how often, and with which credentials.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { TLSSocket } from "node:tls";
import { setTimeout as sleep } from "node:timers/promises";

import { digestOf, type Digest } from "../../src/domain/digest.ts";
import { mediaTypes } from "../../src/domain/media-types.ts";

export type Fault =
  | { readonly kind: "status"; readonly status: number; readonly headers?: Record<string, string>; readonly body?: string }
  /** The right answer with other headers; an empty text takes one away. */
  | { readonly kind: "headers"; readonly headers: Record<string, string> }
  /** Another body, with the right status. */
  | { readonly kind: "body"; readonly body: string | Uint8Array; readonly contentType?: string; readonly status?: number }
  /** Same length, other bytes. `at`: which byte is wrong (default: the last). `hold`: milliseconds before the last byte. */
  | { readonly kind: "wrongBytes"; readonly at?: number; readonly hold?: number }
  /** Declares everything, sends `after` bytes, closes the connection. */
  | { readonly kind: "truncate"; readonly after: number }
  /** No Content-Length; ends properly after `after` bytes. */
  | { readonly kind: "shortChunked"; readonly after: number }
  | { readonly kind: "longChunked"; readonly extra: number }
  /** No Content-Length, and bytes as long as the connection lasts. */
  | { readonly kind: "endless" }
  /** Sends `after` bytes and then nothing, forever. */
  | { readonly kind: "stall"; readonly after: number }
  /** Sends `after` bytes, and the others once `until` has resolved. */
  | { readonly kind: "gated"; readonly after: number; readonly until: Promise<unknown> }
  | { readonly kind: "silent" }
  | { readonly kind: "reset" }
  | { readonly kind: "slow"; readonly bytesPerSecond: number; readonly chunk: number }
  | { readonly kind: "delay"; readonly milliseconds: number }
  | { readonly kind: "redirect"; readonly location: string; readonly status?: number };

export interface Seen {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
  /** Common name of the client certificate that was shown. */
  readonly peer: string | undefined;
  /** Bytes of the answer's body that were handed to the socket. */
  sent: number;
  /** The answer is over, or its connection. */
  closed: boolean;
}

interface Rule {
  readonly method: string | undefined;
  readonly path: RegExp;
  readonly fault: Fault;
  left: number;
}

export interface ScriptedUpstreamOptions {
  /** Who may pull: `bearer` gives tokens at /token, to the login when there is one. */
  readonly challenge?: "basic" | "bearer";
  readonly login?: { readonly username: string; readonly password: string };
  /** Where the challenge sends clients for tokens; default: /token here. */
  readonly realm?: string;
  /** The whole header, for odd ones. */
  readonly authenticate?: string;
  readonly tls?: { readonly key: string; readonly cert: string; readonly ca?: string; readonly requestCert?: boolean };
  /** Seconds that tokens state. */
  readonly tokenLifetime?: number;
  readonly referrersApi?: boolean;
}

interface Manifest {
  readonly bytes: Buffer;
  readonly mediaType: string;
}

interface Answer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: Buffer;
}

export class ScriptedUpstream {
  readonly seen: Seen[] = [];
  readonly options: ScriptedUpstreamOptions;
  /** Whom it knows from now on. */
  login: ScriptedUpstreamOptions["login"];
  readonly #server: Server;
  readonly #rules: Rule[] = [];
  readonly #blobs = new Map<string, Buffer>();
  readonly #manifests = new Map<string, Manifest>();
  readonly #tags = new Map<string, Digest>();
  #tokens = 0;
  #port = 0;

  private constructor(options: ScriptedUpstreamOptions) {
    this.options = options;
    this.login = options.login;
    const listener = (request: IncomingMessage, response: ServerResponse) => void this.#serve(request, response);
    this.#server =
      options.tls === undefined ? createServer(listener) : createTlsServer({ rejectUnauthorized: false, ...options.tls }, listener);
  }

  static async start(options: ScriptedUpstreamOptions = {}): Promise<ScriptedUpstream> {
    const upstream = new ScriptedUpstream(options);
    await new Promise<void>((resolve) => upstream.#server.listen(0, "127.0.0.1", resolve));
    upstream.#port = (upstream.#server.address() as AddressInfo).port;
    // Whoever keeps connections is the client.
    upstream.#server.keepAliveTimeout = 60_000;
    return upstream;
  }

  /** host:port */
  get host(): string {
    return `127.0.0.1:${this.#port}`;
  }

  get url(): string {
    return `${this.options.tls === undefined ? "http" : "https"}://${this.host}`;
  }

  /** That are open. */
  connections(): Promise<number> {
    return new Promise((resolve, reject) =>
      this.#server.getConnections((error, count) => (error === null ? resolve(count) : reject(error))),
    );
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** The next `times` requests that match get the fault. Later rules come first. */
  script(match: string | { method?: string; path: RegExp }, fault: Fault, times = Number.POSITIVE_INFINITY): void {
    const { method, path } = typeof match === "string" ? { method: undefined, path: new RegExp(match) } : match;
    this.#rules.unshift({ method, path, fault, left: times });
  }

  /** No more faults. */
  behave(): void {
    this.#rules.length = 0;
  }

  /** Requests whose path contains `part`. */
  asked(part: string, method?: string): Seen[] {
    return this.seen.filter((seen) => seen.path.includes(part) && (method === undefined || seen.method === method));
  }

  addBlob(repository: string, bytes: Uint8Array): Digest {
    const digest = digestOf(bytes);
    this.#blobs.set(`${repository} ${digest}`, Buffer.from(bytes));
    return digest;
  }

  removeBlob(repository: string, digest: Digest): void {
    this.#blobs.delete(`${repository} ${digest}`);
  }

  addManifest(repository: string, document: unknown, options: { tag?: string; mediaType?: string } = {}): Digest {
    const bytes = Buffer.from(typeof document === "string" ? document : JSON.stringify(document));
    const digest = digestOf(bytes);
    this.#manifests.set(`${repository} ${digest}`, { bytes, mediaType: options.mediaType ?? mediaTypes.ociManifest });
    if (options.tag !== undefined) this.#tags.set(`${repository} ${options.tag}`, digest);
    return digest;
  }

  /** A whole image of one layer. */
  addImage(repository: string, tag: string | undefined, layer: Uint8Array): { manifest: Digest; config: Digest; layer: Digest } {
    const configBytes = Buffer.from(JSON.stringify({ architecture: "amd64", os: "linux", layer: digestOf(layer) }));
    const config = this.addBlob(repository, configBytes);
    const layerDigest = this.addBlob(repository, layer);
    const manifest = this.addManifest(
      repository,
      {
        schemaVersion: 2,
        mediaType: mediaTypes.ociManifest,
        config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: config, size: configBytes.length },
        layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar", digest: layerDigest, size: layer.length }],
      },
      tag === undefined ? {} : { tag },
    );
    return { manifest, config, layer: layerDigest };
  }

  moveTag(repository: string, tag: string, digest: Digest): void {
    this.#tags.set(`${repository} ${tag}`, digest);
  }

  removeTag(repository: string, tag: string): void {
    this.#tags.delete(`${repository} ${tag}`);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on("error", () => {});
    const path = request.url ?? "/";
    const seen: Seen = {
      method: request.method ?? "GET",
      path,
      headers: { ...request.headers },
      body: await textOf(request),
      peer: peerOf(request),
      sent: 0,
      closed: false,
    };
    response.on("close", () => (seen.closed = true));
    this.seen.push(seen);
    const rule = this.#rules.find((candidate) => {
      return candidate.left > 0 && candidate.path.test(path) && (candidate.method === undefined || candidate.method === seen.method);
    });
    if (rule !== undefined) rule.left--;
    const answer = this.#refused(seen) ?? this.#answer(seen);
    await this.#send(request, response, seen, answer, rule?.fault).catch(() => response.destroy());
  }

  #answer(seen: Seen): Answer {
    const url = new URL(seen.path, "http://here");
    if (url.pathname === "/v2/") return json(200, {});
    if (url.pathname === "/token") return this.#token(seen);
    const match = /^\/v2\/(.+)\/(manifests|blobs|tags|referrers)\/([^/]+)$/.exec(url.pathname);
    const [, repository = "", kind = "", reference = ""] = match ?? [];
    if (kind === "manifests") return this.#manifest(repository, reference);
    if (kind === "blobs") return this.#blob(repository, reference, seen.headers["range"]);
    if (kind === "tags") return this.#tagPage(repository, url.searchParams);
    if (kind === "referrers" && this.options.referrersApi === true) return this.#referrers(repository, reference);
    return missing("NAME_UNKNOWN");
  }

  #refused(seen: Seen): Answer | undefined {
    const { challenge, realm, authenticate } = this.options;
    const { login } = this;
    if (challenge === undefined || seen.path.startsWith("/token")) return undefined;
    const sent = seen.headers["authorization"];
    const scope = /^\/v2\/(.+)\/(?:manifests|blobs|tags|referrers)\//.exec(seen.path)?.[1];
    if (challenge === "basic" && sent === basicOf(login)) return undefined;
    if (challenge === "bearer" && typeof sent === "string" && sent.startsWith(`Bearer token-${scope ?? ""}-`)) return undefined;
    const header =
      authenticate ??
      (challenge === "basic"
        ? 'Basic realm="scripted"'
        : `Bearer realm="${realm ?? `${this.url}/token`}",service="scripted"${scope === undefined ? "" : `,scope="repository:${scope}:pull"`}`);
    return json(401, { errors: [{ code: "UNAUTHORIZED" }] }, { "www-authenticate": header });
  }

  #token(seen: Seen): Answer {
    const { login } = this;
    const { tokenLifetime } = this.options;
    if (login !== undefined && seen.headers["authorization"] !== basicOf(login)) return json(401, { errors: [{ code: "UNAUTHORIZED" }] });
    const scope = new URL(seen.path, "http://here").searchParams.get("scope") ?? "";
    const repository = /^repository:(.+):/.exec(scope)?.[1] ?? "";
    this.#tokens++;
    return json(200, { token: `token-${repository}-${this.#tokens}`, expires_in: tokenLifetime ?? 300 });
  }

  #manifest(repository: string, reference: string): Answer {
    const digest = this.#tags.get(`${repository} ${reference}`) ?? reference;
    const found = this.#manifests.get(`${repository} ${digest}`);
    if (found === undefined) return missing("MANIFEST_UNKNOWN");
    return { status: 200, headers: { "content-type": found.mediaType, "docker-content-digest": digest }, body: found.bytes };
  }

  #blob(repository: string, digest: string, range: string | string[] | undefined): Answer {
    const found = this.#blobs.get(`${repository} ${digest}`);
    if (found === undefined) return missing("BLOB_UNKNOWN");
    const headers = { "content-type": mediaTypes.octetStream, "docker-content-digest": digest, "accept-ranges": "bytes" };
    const match = /^bytes=(\d+)-$/.exec(typeof range === "string" ? range : "");
    if (match === null) return { status: 200, headers, body: found };
    const from = Number(match[1]);
    return {
      status: 206,
      headers: { ...headers, "content-range": `bytes ${from}-${found.length - 1}/${found.length}` },
      body: found.subarray(from),
    };
  }

  #tagPage(repository: string, query: URLSearchParams): Answer {
    const all = [...this.#tags.keys()].filter((key) => key.startsWith(`${repository} `)).map((key) => key.slice(repository.length + 1));
    if (all.length === 0) return missing("NAME_UNKNOWN");
    const limit = Math.min(Number(query.get("n") ?? 100), 100);
    const behind = all.sort().filter((tag) => tag > (query.get("last") ?? ""));
    const tags = behind.slice(0, limit);
    const more: Record<string, string> =
      behind.length > limit ? { link: `</v2/${repository}/tags/list?n=${limit}&last=${tags.at(-1) ?? ""}>; rel="next"` } : {};
    return json(200, { name: repository, tags }, more);
  }

  #referrers(repository: string, digest: string): Answer {
    const manifests = [...this.#manifests]
      .filter(([key]) => key.startsWith(`${repository} `))
      .flatMap(([key, { bytes, mediaType }]) => {
        const document = JSON.parse(bytes.toString()) as { subject?: { digest: string }; artifactType?: string };
        const found = { mediaType, digest: key.slice(repository.length + 1), size: bytes.length, artifactType: document.artifactType };
        return document.subject?.digest === digest ? [found] : [];
      });
    return json(200, { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }, { "content-type": mediaTypes.ociIndex });
  }

  async #send(request: IncomingMessage, response: ServerResponse, seen: Seen, answer: Answer, fault: Fault | undefined): Promise<void> {
    const { status, headers, body } = answer;
    const isHead = seen.method === "HEAD";
    const write = (bytes: Uint8Array) => {
      seen.sent += bytes.length;
      if (response.write(bytes)) return Promise.resolve();
      // A client that went away never drains.
      return new Promise<void>((resolve) => {
        const done = () => {
          response.off("drain", done).off("close", done);
          resolve();
        };
        response.on("drain", done).on("close", done);
      });
    };
    const whole = async (bytes: Buffer) => {
      response.writeHead(status, { ...headers, "content-length": bytes.length });
      if (!isHead) for (let at = 0; at < bytes.length; at += 65536) await write(bytes.subarray(at, at + 65536));
      response.end();
    };
    switch (fault?.kind) {
      case undefined:
        return whole(body);
      case "status":
        response.writeHead(fault.status, { "content-type": "application/json", ...fault.headers });
        response.end(isHead ? undefined : (fault.body ?? '{"errors":[{"code":"UNKNOWN","message":"scripted"}]}'));
        return;
      case "headers": {
        const sent = Object.entries({ ...headers, "content-length": String(body.length), ...fault.headers }).filter(
          ([, value]) => value !== "",
        );
        response.writeHead(status, Object.fromEntries(sent));
        response.end(isHead ? undefined : body);
        return;
      }
      case "body": {
        const bytes = Buffer.from(fault.body);
        response.writeHead(fault.status ?? status, {
          ...headers,
          "content-type": fault.contentType ?? headers["content-type"],
          "content-length": bytes.length,
        });
        response.end(isHead ? undefined : bytes);
        return;
      }
      case "wrongBytes": {
        const wrong = Buffer.from(body);
        const at = fault.at ?? wrong.length - 1;
        wrong[at] = (wrong[at] ?? 0) ^ 0xff;
        if (fault.hold === undefined) return whole(wrong);
        response.writeHead(status, { ...headers, "content-length": wrong.length });
        await write(wrong.subarray(0, -1));
        await sleep(fault.hold);
        await write(wrong.subarray(-1));
        response.end();
        return;
      }
      case "truncate":
        response.writeHead(status, { ...headers, "content-length": body.length });
        await write(body.subarray(0, fault.after));
        await sleep(20); // what was written must leave before the connection goes
        request.socket.destroy();
        return;
      case "shortChunked":
        response.writeHead(status, headers);
        await write(body.subarray(0, fault.after));
        response.end();
        return;
      case "longChunked":
        response.writeHead(status, headers);
        await write(Buffer.concat([body, Buffer.alloc(fault.extra)]));
        response.end();
        return;
      case "endless":
        response.writeHead(status, headers);
        while (!response.destroyed) {
          await write(Buffer.alloc(1000));
          await sleep(5);
        }
        return;
      case "stall":
        response.writeHead(status, { ...headers, "content-length": body.length });
        await write(body.subarray(0, fault.after));
        return;
      case "gated":
        response.writeHead(status, { ...headers, "content-length": body.length });
        await write(body.subarray(0, fault.after));
        await fault.until;
        await write(body.subarray(fault.after));
        response.end();
        return;
      case "silent":
        return;
      case "reset":
        request.socket.destroy();
        return;
      case "slow":
        response.writeHead(status, { ...headers, "content-length": body.length });
        for (let at = 0; at < body.length && !response.destroyed; at += fault.chunk) {
          await write(body.subarray(at, at + fault.chunk));
          await sleep((fault.chunk / fault.bytesPerSecond) * 1000);
        }
        response.end();
        return;
      case "delay":
        await sleep(fault.milliseconds);
        return whole(body);
      case "redirect":
        response.writeHead(fault.status ?? 307, { location: fault.location, "content-length": 0 });
        response.end();
    }
  }
}

function json(status: number, body: unknown, headers: Record<string, string> = {}): Answer {
  return { status, headers: { "content-type": mediaTypes.json, ...headers }, body: Buffer.from(JSON.stringify(body)) };
}

const missing = (code: string) => json(404, { errors: [{ code, message: "scripted" }] });

const basicOf = (login: ScriptedUpstreamOptions["login"]) =>
  login === undefined ? undefined : `Basic ${Buffer.from(`${login.username}:${login.password}`).toString("base64")}`;

function peerOf({ socket }: IncomingMessage): string | undefined {
  const name = socket instanceof TLSSocket ? socket.getPeerCertificate().subject?.CN : undefined;
  return Array.isArray(name) ? name[0] : name;
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}
