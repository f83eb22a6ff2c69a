// Real git and real keys: what is signed is what `git verify-commit` says is.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";

import { gitAsPerson } from "../../test/support/persons-git.ts";
import { createSshKey } from "../../test/support/ssh-keys.ts";
import { createLogger } from "../observability/logger.ts";
import type { PlannedCommit } from "./commits.ts";
import { openRecord, type GitRecord } from "./repository.ts";

const author = { name: "Wharfinger", email: "wharfinger@localhost" };
const now = new Date("2026-11-22T09:30:00Z");

let folder: string;
let record: GitRecord | undefined;
let secret: Record<string, string> | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "wharfinger-signing-"));
});
afterEach(async () => {
  await record?.close();
  rmSync(folder, { recursive: true, force: true });
});

async function open({ signed = true } = {}): Promise<GitRecord> {
  const read = () => (secret === undefined ? undefined : new Map(Object.entries(secret).map(([key, text]) => [key, Buffer.from(text)])));
  record = await openRecord({
    folder: join(folder, "record"),
    author,
    now: () => now,
    logger: createLogger({ level: "silent" }),
    signingKey: signed ? { name: "default/signing", read } : undefined,
  });
  return record;
}

const git = (...args: string[]) => gitAsPerson(join(folder, "record"), ...args);
const change = (subject: string): PlannedCommit => ({ subject, body: "* ä", trailers: [], files: [{ path: "file", content: subject }] });

/** Rejects when the signature is not by this key. */
function verify(publicKey: string, commit: string): string {
  const allowed = join(folder, "allowed");
  writeFileSync(allowed, `wharfinger@localhost ${publicKey}\n`);
  return git("-c", `gpg.ssh.allowedSignersFile=${allowed}`, "verify-commit", "-v", commit);
}

test.each(["ed25519", "ecdsa", "rsa"])(
  "each commit of a batch is signed, with an %s key too, and says what it says without",
  async (type) => {
    const key = await createSshKey({ type });
    // As it comes out of files that lost their last line end.
    secret = { identity: key.privateKey.trimEnd() };
    expect(verify(key.publicKey, (await open()).view.head ?? "")).toContain("record: begins");
    const ids = await record!.commit([change("one"), change("two")]);
    expect(git("log", "--format=%H", "-2").split("\n")).toEqual(ids.toReversed());
    for (const id of ids) expect(verify(key.publicKey, id)).toContain("author Wharfinger <wharfinger@localhost> 1795339800 +0000");
    expect(git("log", "-1", "--format=%B%an %ae %aI %cn %ce %cI")).toBe(
      "two\n\n* ä\nWharfinger wharfinger@localhost 2026-11-22T09:30:00+00:00 Wharfinger wharfinger@localhost 2026-11-22T09:30:00+00:00",
    );
    expect(git("show", "HEAD:file")).toBe("two");
    const { publicKey } = await createSshKey();
    expect(() => verify(publicKey, "HEAD")).toThrow(/verify-commit/);
  },
);

test("another key counts from the next commit on", async () => {
  const [first, second] = [await createSshKey(), await createSshKey()];
  secret = { identity: first.privateKey };
  await open();
  secret = { identity: second.privateKey };
  const [id = ""] = await record!.commit([change("one")]);
  expect(verify(second.publicKey, id)).toContain("one");
  expect(() => verify(first.publicKey, id)).toThrow(/verify-commit/);
});

test.each([
  ["is not there", () => undefined, "there is no such Secret: create it"],
  ["has no key", () => ({ password: "x" }), "it has no key identity: an SSH private key without a passphrase"],
  ["has something else", () => ({ identity: "not a key" }), "its key identity is no SSH private key"],
  ["has a key that was cut off", async () => ({ identity: (await createSshKey()).privateKey.slice(0, 200) }), ""],
  [
    "has a key with a passphrase",
    async () => ({ identity: (await createSshKey({ passphrase: "secret" })).privateKey }),
    "incorrect passphrase",
  ],
])("a Secret that %s: nothing is committed, and it is said", async (_, bad, says) => {
  const key = await createSshKey();
  const before = (await open({ signed: false })).view.head;
  await record?.close();
  secret = await bad();
  await open();
  await expect(record!.commit([change("one")])).rejects.toMatchObject({
    code: "SigningFailed",
    temporary: true,
    message: expect.stringMatching(new RegExp(`^commits cannot be signed with Secret default/signing .*: .*${says}`)),
  });
  expect(git("rev-parse", "HEAD")).toBe(before);
  expect(git("status", "--porcelain")).toBe("");
  secret = { identity: key.privateKey };
  const [id = ""] = await record!.commit([change("one")]);
  expect(verify(key.publicKey, id)).toContain("one");
});
