// The thread that hashes passwords: that is slow on purpose, and pulls must not wait for it.

import { parentPort } from "node:worker_threads";

import { compareSync } from "bcryptjs";
import { argon2Verify } from "hash-wasm";

export interface PasswordQuestion {
  readonly id: number;
  readonly password: string;
  /** As domain/password-hash.ts took it. */
  readonly hash: string;
}

export interface PasswordAnswer {
  readonly id: number;
  readonly matches: boolean;
}

/** One after the other: each of argon2 has memory of its own. */
let last: Promise<unknown> = Promise.resolve();

// oxlint-disable unicorn/require-post-message-target-origin -- a thread, not a window
parentPort?.on("message", ({ id, password, hash }: PasswordQuestion) => {
  last = last.then(async () => parentPort?.postMessage({ id, matches: await matches(password, hash) } satisfies PasswordAnswer));
});

async function matches(password: string, hash: string): Promise<boolean> {
  // argon2Verify refuses an empty password with an error; nobody has one.
  if (hash.startsWith("$argon2id$")) return password !== "" && argon2Verify({ password, hash });
  return compareSync(password, hash);
}
