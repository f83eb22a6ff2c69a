import { expect, test } from "vitest";

import { pushRefusal, readRefusal, remoteFailure } from "./remote-words.ts";

const answer = (stderr: string) => ({ code: 128, stdout: Buffer.of(), stderr, timedOut: false });
const url = "https://git.example.com/r.git";

test.each([
  ["[rejected] (stale info)", "moved"],
  ["[rejected] (fetch first)", "moved"],
  ["[remote rejected] (cannot lock ref 'refs/heads/x': is at 1 but expected 2)", "raced"],
  ["[remote rejected] (failed to update ref)", "raced"],
  ["[remote rejected] (pre-receive hook declined)", "refused"],
  ["[remote rejected] (protected branch hook declined)", "refused"],
])("a push that ended with %s was %s", (words, kind) => {
  expect(readRefusal(`To ${url}\n!\tabc:refs/heads/x\t${words}\nDone\n`)?.kind).toBe(kind);
});

test("a push that came through, and one that came nowhere, were not refused", () => {
  expect(readRefusal(`To ${url}\n \tabc:refs/heads/x\t1..2\nDone\n`)).toBeUndefined();
  expect(readRefusal("")).toBeUndefined();
});

test.each([
  ["fatal: could not read Username for 'https://git.example.com': terminal prompts disabled", "RemoteRefused"],
  ["fatal: unable to access 'https://git.example.com/r.git/': The requested URL returned error: 403", "RemoteRefused"],
  ["fatal: unable to access 'https://git.example.com/r.git/': server certificate verification failed. CAfile: none", "RemoteRefused"],
  ["git@h: Permission denied (publickey).\nfatal: Could not read from remote repository.", "RemoteRefused"],
  ["Host key verification failed.\nfatal: Could not read from remote repository.", "RemoteRefused"],
  ["fatal: unable to access 'https://h/': Failed to connect to h port 443: Connection refused", "RemoteUnavailable"],
  ["fatal: unable to access 'https://h/': The requested URL returned error: 502", "RemoteUnavailable"],
  ["fatal: repository 'https://h/r.git/' not found", "RemoteUnavailable"],
])("%s is %s", (stderr, code) => {
  expect(remoteFailure("fetch from", url, { timeout: 1_000, answer: answer(stderr) })).toMatchObject({ code, temporary: true });
});

test("what a server says is one printable line of a bounded length", () => {
  const shout = `remote: \u001b[31mno\u0007\nremote:\nremote: ${"x".repeat(5_000)}\nTo h\n`;
  const { message } = pushRefusal(url, "pre-receive hook declined", shout);
  expect(message).toMatch(/^push to https:\/\/git\.example\.com\/r\.git: refused \(pre-receive hook declined\):  ?\[31mno ?; x+…$/);
  expect(message.length).toBeLessThan(600);
  expect(remoteFailure("fetch from", url, { timeout: 1, answer: answer(shout) }).message.length).toBeLessThan(600);
});

test("a time that is over is said as such", () => {
  const failure = remoteFailure("push to", url, { timeout: 60_000, answer: { ...answer("fatal: early EOF"), timedOut: true } });
  expect(failure).toMatchObject({ code: "RemoteUnavailable", message: `push to ${url}: no answer within 60 s; it is tried again` });
});
