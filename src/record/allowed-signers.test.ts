// Real git and real keys: who may add to the record when only allowed signers are followed.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";

import { gitAsPerson } from "../../test/support/persons-git.ts";
import { createSshKey, signedWith, type SshKey } from "../../test/support/ssh-keys.ts";
import { createLogger } from "../observability/logger.ts";
import type { PlannedCommit } from "./commits.ts";
import type { UntrustedCommit } from "./errors.ts";
import { openRecord, type GitRecord } from "./repository.ts";

let own: SshKey;
let jane: SshKey;
let stranger: SshKey;
beforeAll(async () => {
  [own, jane, stranger] = await Promise.all([createSshKey(), createSshKey(), createSshKey()]);
});

let folder: string;
let record: GitRecord | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "wharfinger-signers-"));
});
afterEach(async () => {
  await close();
  rmSync(folder, { recursive: true, force: true });
});

const line = ({ publicKey }: SshKey, options = "") => `somebody@example.org ${options}${publicKey}`;
const both = () => [line(own), line(jane)];
const change = (subject: string): PlannedCommit => ({ subject, body: "", trailers: [], files: [{ path: "own", content: subject }] });
const git = (...args: string[]) => gitAsPerson(join(folder, "record"), ...args);
const headOf = () => git("rev-parse", "HEAD");

async function open(allowedSigners: readonly string[] | undefined = both(), key: SshKey | undefined = own): Promise<GitRecord> {
  const secret = new Map([["identity", Buffer.from(key.privateKey)]]);
  record = await openRecord({
    folder: join(folder, "record"),
    author: { name: "Wharfinger", email: "wharfinger@localhost" },
    logger: createLogger({ level: "silent" }),
    signingKey: { name: "default/signing", read: () => secret },
    allowedSigners,
  });
  return record;
}

async function close(): Promise<void> {
  await record?.close();
  record = undefined;
}

/** A commit of a person's; without a key it is not signed. */
function commit(subject: string, key?: SshKey, ...options: string[]): string {
  writeFileSync(join(folder, "record", "theirs"), subject);
  git("add", "theirs");
  git(...(key === undefined ? [] : signedWith(key, folder)), "commit", "-qm", subject, ...options);
  return headOf();
}

/** The branch moves to a commit as somebody with an editor makes it: an object's text, with a parent. */
function forge(text: string, { parent }: { parent: string }): void {
  const file = join(folder, "forged");
  writeFileSync(file, text.replace(/^(tree .*\n)/, `$1parent ${parent}\n`));
  git("update-ref", "refs/heads/wharfinger", git("hash-object", "-t", "commit", "-w", file));
}

/** Where the branch is followed to, and what is in the way; then also what a commit of the registry's meets. */
async function look() {
  const { head } = await record!.refresh();
  const problem = record!.problem as UntrustedCommit | undefined;
  const refused = problem && (await record!.commit([change("more")]).catch((error: UntrustedCommit) => error.code));
  return { head, code: problem?.code, says: problem?.message, branch: problem?.head, refused };
}

function refusal(bad: string, why: RegExp | string, { stays }: { stays: string | null }): Awaited<ReturnType<typeof look>> {
  const says: unknown = expect.stringMatching(new RegExp(`^commit ${bad} .*${typeof why === "string" ? why : why.source}`));
  return { head: stays, code: "SignerNotAllowed", says: says as string, branch: headOf(), refused: "SignerNotAllowed" };
}

const following = (head: string) => ({ head, code: undefined, says: undefined, branch: undefined, refused: undefined });

test("commits by keys of the list are followed, merges with all that they bring, and the registry's own go on top", async () => {
  const { view } = await open();
  git("checkout", "-qb", "side");
  commit("one", jane);
  git("checkout", "-q", "wharfinger");
  git(...signedWith(jane, folder), "merge", "-q", "--no-ff", "--no-edit", "side");
  expect(await look()).toEqual(following(headOf()));
  expect(record!.view.head).not.toBe(view.head);
  const [id = ""] = await record!.commit([change("own")]);
  expect(await look()).toEqual(following(id));
});

test.each([
  ["is not signed", undefined, /by Jane Doe <jane@example\.org> is not signed with an SSH key: nothing from it on is followed/],
  ["is signed with a key that is not in the list", () => stranger, /is signed with the key SHA256:\S+, which record\.verify/],
] as const)("a commit that %s is refused with all after it; off the branch all is well", async (_, key, why) => {
  const stays = (await open()).view.head;
  const bad = commit("bad", key?.());
  expect(await look()).toEqual(refusal(bad, why, { stays }));
  commit("good, on top of it", jane);
  expect(await look()).toEqual(refusal(bad, why, { stays }));
  git("reset", "-q", "--hard", stays ?? "");
  expect(await look()).toEqual(following(stays ?? ""));
  const good = commit("good", jane);
  expect(await look()).toEqual(following(good));
});

test("the registry's name under a commit is no signature, and neither is one of its own commits' under another", async () => {
  const stays = (await open()).view.head ?? "";
  const asUs = ["-c", "user.name=Wharfinger", "-c", "user.email=wharfinger@localhost"];
  git(...asUs, ...signedWith(stranger, folder), "commit", "-q", "--allow-empty", "-m", "record: more");
  expect(await look()).toEqual(refusal(headOf(), /by Wharfinger <wharfinger@localhost> is signed with the key/, { stays }));
  forge(git("cat-file", "commit", stays), { parent: stays });
  expect(await look()).toEqual(refusal(headOf(), "has no good SSH signature", { stays }));
});

test("no program that somebody names in the folder's configuration judges a signature", async () => {
  const stays = (await open()).view.head ?? "";
  const program = join(folder, "gpg");
  const says = ["GOODSIG 1234567890123456 Jane", "VALIDSIG AA 2026 1 0 4 0 1 10 00 AA", "TRUST_ULTIMATE"];
  writeFileSync(program, `#!/bin/sh\ncat >/dev/null\n${says.map((text) => `echo '[GNUPG:] ${text}'\n`).join("")}`, { mode: 0o755 });
  git("config", "gpg.program", program);
  const signature = "gpgsig -----BEGIN PGP SIGNATURE-----\n \n xx\n -----END PGP SIGNATURE-----";
  forge(git("cat-file", "commit", stays).replace(/^gpgsig [^]*?-----END SSH SIGNATURE-----$/m, signature), { parent: stays });
  expect(git("log", "-1", "--format=%G?")).toBe("G");
  expect(await look()).toEqual(refusal(headOf(), "is not signed with an SSH key", { stays }));
});

test("a merge that brings a commit of nobody's is refused", async () => {
  const stays = (await open()).view.head;
  git("checkout", "-qb", "side");
  const bad = commit("one");
  git("checkout", "-q", "wharfinger");
  git(...signedWith(jane, folder), "merge", "-q", "--no-ff", "--no-edit", "side");
  expect(await look()).toEqual(refusal(bad, "is not signed with an SSH key", { stays }));
});

test("a key that ended counts for what was signed before", async () => {
  await open([line(own), line(jane, 'valid-before="20260101" ')]);
  process.env["GIT_COMMITTER_DATE"] = "2025-12-01T12:00:00Z";
  const good = commit("in time", jane);
  process.env["GIT_COMMITTER_DATE"] = "2026-02-01T12:00:00Z";
  expect(await look()).toEqual(following(good));
  const late = commit("too late", jane);
  delete process.env["GIT_COMMITTER_DATE"];
  expect(await look()).toEqual(refusal(late, "or not for its date", { stays: good }));
});

test("a key that leaves the list: what was published stays trusted, what comes after is not", async () => {
  await open();
  const published = commit("published", jane);
  expect(await look()).toEqual(following(published));
  await record!.markPublished(published);
  await close();
  await open([line(own)]);
  expect(await look()).toEqual(following(published));
  const after = commit("after", jane);
  expect(await look()).toEqual(refusal(after, "is signed with the key", { stays: published }));
});

test("over a restart it is refused as before, and what was published is what is known", async () => {
  const { view } = await open();
  await record!.markPublished(view.head ?? "");
  const bad = commit("bad");
  expect(await look()).toEqual(refusal(bad, "is not signed with an SSH key", { stays: view.head }));
  await close();
  await open();
  expect(await look()).toEqual(refusal(bad, "is not signed with an SSH key", { stays: view.head }));
});

test("a person accepts the branch as it is, and nothing that comes after it", async () => {
  await open();
  const accepted = commit("by a person who may");
  await record!.refresh();
  await record!.confirm("accepted", accepted);
  expect(await look()).toEqual(following(accepted));
  const nobodys = commit("by nobody");
  expect(await look()).toEqual(refusal(nobodys, "is not signed with an SSH key", { stays: accepted }));
});

test("with history rewritten all that is new in it is judged", async () => {
  const stays = (await open()).view.head;
  const good = commit("good", jane);
  expect(await look()).toEqual(following(good));
  git(...signedWith(jane, folder), "commit", "-q", "--amend", "-m", "good, in other words");
  expect(await look()).toEqual(following(headOf()));
  git("reset", "-q", "--hard", stays ?? "");
  const bad = commit("bad");
  await record!.refresh();
  expect(record!.problem?.message).toContain(`commit ${bad} by Jane Doe`);
});

test("where nothing is known yet the newest commit vouches for those below it", async () => {
  await open(undefined);
  await close();
  commit("of earlier days");
  const bad = headOf();
  await open();
  expect([(await record!.refresh()).head, record!.needsAnchor, record!.problem]).toEqual([null, true, undefined]);
  record!.trustFrom(null);
  expect(await look()).toEqual(refusal(bad, "is not signed with an SSH key", { stays: null }));
  expect(git("log", "--format=%s", "-1")).toBe("of earlier days");
  const signed = commit("from here on", jane);
  expect(await look()).toEqual(following(signed));
});

test("what the registry has published is trusted where nothing is known, and each commit after it is judged; one off the branch says nothing", async () => {
  await open(undefined);
  await close();
  const published = commit("of earlier days");
  const bad = commit("by nobody");
  commit("on top of it", jane);
  await open();
  record!.trustFrom(published);
  expect(await look()).toEqual(refusal(bad, "is not signed with an SSH key", { stays: published }));
  await close();
  await open();
  record!.trustFrom("b".repeat(40));
  expect(await look()).toEqual(following(headOf()));
});

test("a key of its own that is not in the list is said before anything is committed", async () => {
  await open([line(jane)]);
  await expect(record!.commit([change("one")])).rejects.toMatchObject({
    code: "SigningFailed",
    message: expect.stringMatching(
      /^the registry's own commit \w+ by Wharfinger <wharfinger@localhost> is signed with the key SHA256:.*: nothing is committed/,
    ),
  });
  expect(() => headOf()).toThrow(/HEAD/);
});
