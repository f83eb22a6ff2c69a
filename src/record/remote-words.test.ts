import { expect, test } from "vitest";

import type { RemoteLogin } from "./remote-mistakes.ts";
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

const secretOf = (...keys: readonly string[]) => ({
  name: "default/git",
  read: () => new Map(keys.map((key) => [key, new TextEncoder().encode("x")])),
});
const https = { url, secret: secretOf("username", "password") };
const ssh = { url: "ssh://git@git.example.com/r.git", secret: secretOf("identity", "known_hosts") };
const noLogin = { url };
const onlyAuthority = { url, secret: secretOf("ca.crt") };
const named = "Secret default/git (record.remote.secretRef)";
const prompts = "fatal: could not read Username for 'https://git.example.com': terminal prompts disabled";
const error = (status: number) => `fatal: unable to access '${url}': The requested URL returned error: ${status}`;

test.each<[RemoteLogin, string, string, string]>([
  [https, prompts, "RemoteRefused", `the credentials were refused: put a username and a password (a token) that count there into ${named}`],
  [
    https,
    `remote: HTTP Basic: Access denied\nfatal: Authentication failed for '${url}'`,
    "RemoteRefused",
    `the credentials were refused: put a username and a password (a token) that count there into ${named}`,
  ],
  [
    noLogin,
    prompts,
    "RemoteRefused",
    "it wants a login, and there is none: name a Secret with username and password (a token) in record.remote.secretRef",
  ],
  [onlyAuthority, prompts, "RemoteRefused", `it wants a login, and there is none: put username and password (a token) into ${named}`],
  [
    https,
    error(403),
    "RemoteRefused",
    `access was denied: give the user of ${named} the right to read and push there, or put another one into it (git says: ${error(403)})`,
  ],
  [
    noLogin,
    error(403),
    "RemoteRefused",
    `access was denied, and there is no login: name a Secret with username and password (a token) in record.remote.secretRef (git says: ${error(403)})`,
  ],
  [
    https,
    "fatal: server certificate verification failed. CAfile: none",
    "RemoteRefused",
    `its certificate is not trusted: put the authority that signed it into ${named} as ca.crt (git says: fatal: server certificate verification failed. CAfile: none)`,
  ],
  [
    https,
    `fatal: repository '${url}/' not found`,
    "RemoteUnavailable",
    `the repository is not there, or is hidden from the user of ${named}: make it (empty), mend record.remote.url (${url}), or give him the right to read and push (git says: fatal: repository '${url}/' not found)`,
  ],
  [
    ssh,
    "git@h: Permission denied (publickey).\nfatal: Could not read from remote repository.",
    "RemoteRefused",
    `the credentials were refused: let the public key to identity of ${named} read and push there, or put another private key into it (git says: git@h: Permission denied (publickey).)`,
  ],
  [
    ssh,
    'Load key "/x/identity": error in libcrypto\ngit@h: Permission denied (publickey).',
    "RemoteRefused",
    `identity of ${named} is no key that ssh can use: put a private key without a passphrase there (git says: Load key "/x/identity": error in libcrypto; git@h: Permission denied (publickey).)`,
  ],
  [
    ssh,
    "Host key verification failed.",
    "RemoteRefused",
    `its host key is not the one in known_hosts of ${named}: ask whoever runs the host which is right, and put that one there (git says: Host key verification failed.)`,
  ],
  [
    ssh,
    "fatal: '/r.git' does not appear to be a git repository",
    "RemoteUnavailable",
    `the repository is not there, or is hidden from the key of ${named}: make it (empty), mend record.remote.url (${ssh.url}), or let the key read and push there (git says: fatal: '/r.git' does not appear to be a git repository)`,
  ],
])("to %j git says %s", (login, stderr, code, advice) => {
  const failure = remoteFailure("fetch from", login, { timeout: 1_000, answer: answer(stderr) });
  expect(failure).toMatchObject({ code, temporary: true, message: `fetch from ${login.url}: ${advice}` });
});

test.each(["fatal: unable to access 'https://h/': Failed to connect to h port 443: Connection refused", error(502)])(
  "%s is nobody's mistake",
  (stderr) => {
    const failure = remoteFailure("push to", https, { timeout: 1_000, answer: answer(stderr) });
    expect(failure).toMatchObject({ code: "RemoteUnavailable", temporary: true, message: `push to ${url}: ${stderr}` });
  },
);

test("what a server says is one printable line of a bounded length", () => {
  const shout = `remote: \u001b[31mno\u0007\nremote:\nremote: ${"x".repeat(5_000)}\nTo h\n`;
  const { message } = pushRefusal(url, "pre-receive hook declined", shout);
  expect(message).toMatch(/^push to https:\/\/git\.example\.com\/r\.git: refused \(pre-receive hook declined\):  ?\[31mno ?; x+…$/);
  expect(message.length).toBeLessThan(600);
  expect(remoteFailure("fetch from", https, { timeout: 1, answer: answer(shout) }).message.length).toBeLessThan(600);
});

test("a time that is over is said as such", () => {
  const failure = remoteFailure("push to", https, { timeout: 60_000, answer: { ...answer("fatal: early EOF"), timedOut: true } });
  expect(failure).toMatchObject({ code: "RemoteUnavailable", message: `push to ${url}: no answer within 60 s; it is tried again` });
});
