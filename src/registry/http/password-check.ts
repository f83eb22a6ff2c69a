// Checks passwords against their hashes in a thread of its own, one at a time, with a bounded queue.

import { Worker } from "node:worker_threads";

import { ServiceError } from "../services/errors.ts";
import type { PasswordAnswer, PasswordQuestion } from "./password-worker.ts";
import { LoginPlaces, type LoginAttempt, type PlaceLimits } from "./login-places.ts";

/** More logins than these wait for nothing, or for others to wait in vain. */
const queue: PlaceLimits = { all: 96, ofOneSource: 48, failing: 32, ofOneFailingSource: 8, unknown: 48, ofOneUnknownNetwork: 32 };

interface Waiting {
  readonly resolve: (matches: boolean) => void;
  readonly reject: (error: Error) => void;
}

export class PasswordCheck {
  readonly #places = new LoginPlaces(queue);
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | undefined;
  #lastId = 0;

  /** Rejects with ServiceError UNAVAILABLE when too many logins wait already. */
  matches(password: string, hash: string, attempt: LoginAttempt): Promise<boolean> {
    return this.#places.within(
      attempt,
      () => this.#ask(password, hash),
      () => {
        throw new ServiceError("UNAVAILABLE", "Too many logins at once. Try again in a moment.", { retryAfter: 2 });
      },
    );
  }

  async close(): Promise<void> {
    await this.#worker?.terminate();
  }

  #ask(password: string, hash: string): Promise<boolean> {
    const worker = this.#start();
    const question: PasswordQuestion = { id: ++this.#lastId, password, hash };
    return new Promise((resolve, reject) => {
      this.#waiting.set(question.id, { resolve, reject });
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
      worker.postMessage(question);
    });
  }

  #start(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    const worker = new Worker(program());
    // Logins alone do not keep the process running.
    worker.unref();
    worker.on("message", ({ id, matches }: PasswordAnswer) => {
      this.#waiting.get(id)?.resolve(matches);
      this.#waiting.delete(id);
    });
    worker.on("error", (error) => this.#lose(worker, error));
    worker.on("exit", () => this.#lose(worker, new Error("The password thread ended")));
    this.#worker = worker;
    return worker;
  }

  #lose(worker: Worker, error: Error): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}

/** The build renames its files, but not what a string says. */
function program(): URL {
  const url = new URL("./password-worker.ts", import.meta.url);
  if (import.meta.url.endsWith(".js")) url.pathname = url.pathname.replace(/\.ts$/, ".js");
  return url;
}
