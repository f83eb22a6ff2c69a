// The record over HTTP, by git's own backend (git-http-backend(1), a CGI program, RFC 3875): fetches of the branch, and pushes that go forward on it.

import type { ChildProcessWithoutNullStreams } from "node:child_process";

import { failpoint } from "#failpoints";

import { RecordError } from "./errors.ts";
import type { Git, GitCall } from "./git.ts";

/** What the smart protocol has (gitprotocol-http(5)); the dumb one is not served. */
export type GitStep = "advertise-fetch" | "advertise-push" | "upload-pack" | "receive-pack";

export interface GitExchange {
  readonly step: GitStep;
  /** Inflated; empty where something is advertised. */
  readonly body: Uint8Array;
  /** Header `Git-Protocol`, where it was sent. */
  readonly protocol: string | undefined;
  /** Aborted when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
}

export interface GitAnswer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
}

/** Bytes of what a push brings. A record's commits are small. */
export const mostPushed = 16 * 1024 * 1024;
/** Bytes of what git says. */
const most = { head: 16 * 1024, whole: 4 * 1024 * 1024, words: 4 * 1024 } as const;

const requests: Readonly<
  Record<GitStep, { readonly method: string; readonly path: string; readonly query: string; readonly type: string }>
> = {
  "advertise-fetch": { method: "GET", path: "/info/refs", query: "service=git-upload-pack", type: "" },
  "advertise-push": { method: "GET", path: "/info/refs", query: "service=git-receive-pack", type: "" },
  "upload-pack": { method: "POST", path: "/git-upload-pack", query: "", type: "application/x-git-upload-pack-request" },
  "receive-pack": { method: "POST", path: "/git-receive-pack", query: "", type: "application/x-git-receive-pack-request" },
};

export class HttpBackend {
  readonly #git: Git;
  readonly #configuration: readonly string[];

  /** Of `branch` alone: other references are neither shown nor taken. */
  constructor(git: Git, branch: string) {
    this.#git = git;
    this.#configuration = [
      // Where the volume belongs to another user (a volume with an fsGroup), git asks for a word; it is about this one repository.
      "safe.directory=*",
      "http.getAnyFile=false",
      "http.uploadPack=true",
      "http.receivePack=true",
      // The last entry that fits counts, so what the repository's own configuration says of it does not.
      "transfer.hideRefs=refs",
      `transfer.hideRefs=!refs/heads/${branch}`,
      "receive.denyDeletes=true",
      "receive.denyNonFastForwards=true",
      // The work tree follows by itself, file by file, and leaves a person's uncommitted changes as they are (ADR 0007).
      "receive.denyCurrentBranch=ignore",
      "receive.fsckObjects=true",
      `receive.maxInputSize=${mostPushed}`,
      "receive.autogc=false",
      "receive.updateServerInfo=false",
      "receive.shallowUpdate=false",
      "receive.advertisePushOptions=false",
      "uploadpack.allowFilter=false",
    ];
  }

  /** The answer as it comes: who takes it reads it to its end, or aborts. Rejects with RecordError GitFailed. */
  async answer(exchange: GitExchange): Promise<GitAnswer> {
    const { signal } = exchange;
    const child = await this.#start(exchange);
    // A pipe that nobody reads to its end stays open.
    const drop = () => void child.stdout.destroy();
    if (signal.aborted) drop();
    signal.addEventListener("abort", drop, { once: true });
    return readAnswer(child);
  }

  /** The whole answer, when git has ended. `more`: of git's configuration and environment. Rejects with RecordError GitFailed. */
  async whole(exchange: GitExchange, more?: Pick<GitCall, "configuration" | "env">): Promise<GitAnswer> {
    const child = await this.#start(exchange, more);
    await failpoint("push.started");
    const { body, ...rest } = await readAnswer(child);
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of body) {
      size += chunk.length;
      // Read on: git that cannot write would be killed in the middle of a push.
      if (size <= most.whole) chunks.push(chunk);
    }
    return { ...rest, body: chunks };
  }

  async #start(
    { step, body, protocol, signal }: GitExchange,
    more: Pick<GitCall, "configuration" | "env"> = {},
  ): Promise<ChildProcessWithoutNullStreams> {
    const { method, path, query, type } = requests[step];
    const env = {
      ...more.env,
      GIT_PROJECT_ROOT: this.#git.directory,
      GIT_HTTP_EXPORT_ALL: "1",
      PATH_INFO: path,
      REQUEST_METHOD: method,
      QUERY_STRING: query,
      CONTENT_TYPE: type,
      // Of a push without a length git reads to the end. With one, and a sender that dies in the middle, http-backend turns on the end for ever.
      ...(step === "receive-pack" ? {} : { CONTENT_LENGTH: String(body.length) }),
      // For the reflog: who it was knows the registry.
      REMOTE_USER: "administrator",
      REMOTE_ADDR: "wharfinger",
      ...(protocol !== undefined && /^version=[012]$/.test(protocol) ? { GIT_PROTOCOL: protocol } : {}),
    };
    const child = await this.#git.start(["http-backend"], {
      configuration: [...this.#configuration, ...(more.configuration ?? [])],
      env,
      signal,
    });
    // git that ends early closes its input; what it says tells why.
    child.stdin.on("error", () => undefined);
    child.stdin.end(body);
    return child;
  }
}

/** Reads the head (`Status: 403 Forbidden`, without it 200); what is behind it is the body. */
async function readAnswer(child: ChildProcessWithoutNullStreams): Promise<GitAnswer> {
  let words = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (words = (words + text).slice(0, most.words)));
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const chunks = child.stdout.iterator() as AsyncIterableIterator<Buffer>;
  let head: Buffer = Buffer.alloc(0);
  let end = -1;
  while (end < 0 && head.length <= most.head) {
    const next = await chunks.next();
    if (next.done === true) break;
    head = Buffer.concat([head, next.value]);
    end = head.indexOf("\r\n\r\n");
  }
  if (end < 0) {
    child.kill();
    child.stdout.destroy();
    await ended;
    throw new RecordError("GitFailed", `git http-backend: ${words.trim() || "ended without an answer"}`);
  }
  const lines = head.toString("latin1", 0, end).split("\r\n");
  const headers = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]),
  );
  const { status = "200", ...others } = headers;
  return { status: Number.parseInt(status, 10) || 500, headers: others, body: rest(head.subarray(end + 4), chunks, ended) };
}

async function* rest(first: Buffer, chunks: AsyncIterableIterator<Buffer>, ended: Promise<void>): AsyncGenerator<Uint8Array> {
  if (first.length > 0) yield first;
  yield* chunks;
  await ended;
}
