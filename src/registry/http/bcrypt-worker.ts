// The thread that hashes passwords: bcrypt is slow on purpose, and pulls must not wait for it.

import { parentPort } from "node:worker_threads";

import { compareSync } from "bcryptjs";

export interface BcryptQuestion {
  readonly id: number;
  readonly password: string;
  readonly hash: string;
}

export interface BcryptAnswer {
  readonly id: number;
  readonly matches: boolean;
}

// oxlint-disable unicorn/require-post-message-target-origin -- a thread, not a window
parentPort?.on("message", ({ id, password, hash }: BcryptQuestion) => {
  parentPort?.postMessage({ id, matches: compareSync(password, hash) } satisfies BcryptAnswer);
});
