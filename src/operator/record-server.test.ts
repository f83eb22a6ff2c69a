// The record for people's git, at its limits: real git on both sides, real HTTP. Who they are is somebody else's question (record-clone.test.ts).

import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { connect, createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { pino } from "pino";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { eventually } from "../../test/support/eventually.ts";
import { program, type ProgramResult } from "../../test/support/programs.ts";
import { createSshKey, signedWith } from "../../test/support/ssh-keys.ts";
import type { GitAnswer, GitExchange } from "../record/http-backend.ts";
import type { RecordOptions } from "../record/opening.ts";
import { openRecord, type GitRecord } from "../record/repository.ts";
import { administratorsOf, type Admit } from "./record-callers.ts";
import { startRecordServer } from "./record-server.ts";

// Each is dozens of processes of git.
vi.setConfig({ testTimeout: 90_000 });

const logger = pino({ level: "silent" });
const author = { name: "Wharfinger", email: "wharfinger@localhost" };
let folder: string;
let stack: AsyncDisposableStack;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  folder = await mkdtemp(join(tmpdir(), "wharfinger-record-server-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
});
afterEach(() => stack.disposeAsync());

async function open(options: Partial<RecordOptions> = {}): Promise<GitRecord> {
  const opened = await openRecord({ folder: join(folder, "record"), author, logger, ...options });
  stack.defer(() => opened.close());
  return opened;
}

type Served = Pick<GitRecord, "serve">;

/** Where it serves. */
async function serve(record: Served, admit: Admit = async () => ({ state: "administrator" })): Promise<string> {
  const server = await startRecordServer({ listen: { host: "127.0.0.1", port: 0 }, admit, record: () => record, logger });
  stack.defer(() => server.stop());
  return `http://127.0.0.1:${server.port}/record.git`;
}

/** As Jane Doe, who is not this process: it has to answer her meanwhile. */
function git(...args: readonly string[]): Promise<ProgramResult> {
  const env = { GIT_CONFIG_NOSYSTEM: "1", GIT_CONFIG_GLOBAL: "/dev/null", GIT_TERMINAL_PROMPT: "0", LC_ALL: "C" };
  return program("git", ["-c", "user.name=Jane Doe", "-c", "user.email=jane@example.org", "-c", "core.compression=0", ...args], {
    cwd: folder,
    env,
  });
}

async function line(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await git(...args);
  if (code !== 0) throw new Error(`git ${args.join(" ")}: ${stderr}`);
  return stdout.trim();
}

const branchOf = () => line("-C", "record", "rev-parse", "refs/heads/wharfinger");

/** A clone with a commit that is not pushed. Resolves with that. */
async function cloneWithChange(url: string, name: string, content: string | Buffer = name): Promise<string> {
  await line("clone", "-q", url, name);
  await writeFile(join(folder, name, `${name}.txt`), content);
  await line("-C", name, "add", "--all");
  await line("-C", name, "commit", "-qm", name);
  return line("-C", name, "rev-parse", "HEAD");
}

test("of two pushes that begin at the same commit one is taken, and the other is told to fetch first", async () => {
  const record = await open();
  const both = Promise.withResolvers<void>();
  let pushes = 0;
  // Both were shown the same branch before either is received.
  const together = async (exchange: GitExchange): Promise<GitAnswer> => {
    if (exchange.step === "receive-pack" && ++pushes >= 2) both.resolve();
    if (exchange.step === "receive-pack") await both.promise;
    return record.serve(exchange);
  };
  const url = await serve({ serve: together });
  const names = ["one", "other"] as const;
  const commits = [await cloneWithChange(url, "one"), await cloneWithChange(url, "other")];
  const before = await branchOf();
  const pushed = await Promise.all(names.map((name) => git("-C", name, "push", "origin", "HEAD")));
  expect(pushed.filter(({ code }) => code === 0)).toHaveLength(1);
  const taken = pushed.findIndex(({ code }) => code === 0);
  expect(await branchOf()).toBe(commits[taken]);
  expect(await line("-C", "record", "rev-parse", "wharfinger~1")).toBe(before);
  const late = names[1 - taken] ?? "";
  expect(pushed[1 - taken]?.stderr).toMatch(/\[remote rejected\] HEAD -> wharfinger \(.*(fail|lock|incorrect|old value|fetch)/);
  expect((await git("-C", late, "push", "origin", "HEAD")).stderr).toMatch(
    /\[rejected\].*\n.*Updates were rejected because the remote contains work/s,
  );
  await line("-C", late, "pull", "-q", "--rebase");
  expect((await git("-C", late, "push", "origin", "HEAD")).code).toBe(0);
  expect(await line("-C", "record", "log", "-2", "--format=%s")).toBe(`${late}\n${names[taken]}`);
  expect((await record.refresh()).head).toBe(await branchOf());
});

test("a push that is too large is refused in git's own words, and leaves nothing", async () => {
  const record = await open();
  const url = await serve(record);
  const before = await branchOf();
  await cloneWithChange(url, "large", randomBytes(18 * 1024 * 1024));
  const { code, stderr } = await git("-C", "large", "push", "origin", "HEAD");
  expect([code, stderr]).toEqual([1, expect.stringMatching(/remote: .*pack exceeds maximum allowed size/)]);
  expect(stderr).toContain("[remote rejected] HEAD -> wharfinger");
  expect(await branchOf()).toBe(before);
  expect((await readdir(join(folder, "record/.git/objects"))).filter((name) => /incoming|tmp/.test(name))).toEqual([]);
});

test("where signers are named, a push with a commit that none of them signed is refused, and nothing is held up", async () => {
  const [own, jane] = await Promise.all([createSshKey(), createSshKey()]);
  const secret = new Map([["identity", Buffer.from(own.privateKey)]]);
  const record = await open({
    signingKey: { name: "default/signing", read: () => secret },
    allowedSigners: [`wharfinger ${own.publicKey}`, `jane@example.org ${jane.publicKey}`],
  });
  const url = await serve(record);
  const before = await branchOf();
  const unsigned = await cloneWithChange(url, "theirs");
  // The newest commit does not vouch for what is below it.
  await line(...signedWith(jane, folder), "-C", "theirs", "commit", "-q", "--allow-empty", "-m", "signed");
  const { code, stderr } = await git("-C", "theirs", "push", "origin", "HEAD");
  expect([code, stderr]).toEqual([
    1,
    expect.stringContaining(`remote: Commit ${unsigned} has no good SSH signature by a key of record.verify.allowedSigners`),
  ]);
  expect(stderr).toContain("[remote rejected] HEAD -> wharfinger (pre-receive hook declined)");
  expect(await branchOf()).toBe(before);
  await record.refresh();
  expect(record.problem).toBeUndefined();
  // As it says how.
  await line(...signedWith(jane, folder), "-C", "theirs", "rebase", "-q", "--no-ff", "-S", before);
  expect(await git("-C", "theirs", "push", "origin", "HEAD")).toMatchObject({ code: 0 });
  expect((await record.refresh()).head).toBe(await line("-C", "theirs", "rev-parse", "HEAD"));
  expect(record.problem).toBeUndefined();
});

test("while the registry is away nobody is let in, and git says what to do", async () => {
  const nobody = createServer().listen(0, "127.0.0.1");
  await once(nobody, "listening");
  const { port } = nobody.address() as AddressInfo;
  await new Promise((resolve) => nobody.close(resolve));
  const url = await serve(await open(), administratorsOf({ url: `http://127.0.0.1:${port}` }));
  const { stderr } = await git("ls-remote", url.replace("//", "//git:a-token@"));
  expect(stderr).toContain("remote: The registry, which knows the administrators, does not say whether you are one.");
  expect(stderr).toContain(`remote: No answer from the registry at http://127.0.0.1:${port}`);
  expect(stderr).toMatch(/try again when it answers[^]*error: 503/);
});

test("who goes in the middle of a fetch leaves no pipe open", async () => {
  const record = await open();
  const url = await serve(record);
  await writeFile(join(folder, "record/large"), randomBytes(4 * 1024 * 1024));
  await line("-C", "record", "add", "large");
  await line("-C", "record", "commit", "-qm", "large");
  const pipes = () => process.getActiveResourcesInfo().filter((kind) => kind === "PipeWrap").length;
  const before = pipes();
  const want = `want ${await branchOf()}\n`;
  const body = `${(want.length + 4).toString(16).padStart(4, "0")}${want}00000009done\n`;
  const headers = { "content-type": "application/x-git-upload-pack-request" };
  const asked = request(`${url}/git-upload-pack`, { method: "POST", headers }).end(body);
  const [answer] = (await once(asked, "response")) as [AsyncIterable<Buffer> & { destroy(): void; statusCode: number }];
  expect(answer.statusCode).toBe(200);
  for await (const _ of answer) break;
  asked.destroy();
  await eventually(() => expect(pipes()).toBe(before));
});

test("whoever holds many connections, or asks many times on one, keeps no git out", async () => {
  const { port } = new URL(await serve(await open()));
  const held = Array.from({ length: 100 }, () => connect(Number(port), "127.0.0.1").on("error", () => {}));
  stack.defer(() => held.forEach((socket) => socket.destroy()));
  await Promise.all(held.map((socket) => once(socket, "connect")));
  expect(await line("ls-remote", `http://127.0.0.1:${port}/record.git`, "HEAD")).toMatch(/^[0-9a-f]{40}\tHEAD$/);
  const hasty = connect(Number(port), "127.0.0.1").on("error", () => {});
  const ended = new Promise((resolve) => hasty.once("close", resolve));
  hasty.write("GET /record.git/info/refs?service=git-upload-pack HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(1_000));
  hasty.resume();
  await ended;
});
