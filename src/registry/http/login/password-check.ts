// Checks passwords against their hashes in a thread of its own, one at a time, in an order that is fair: of those who logged in lately and of strangers by
// turns, of the former one source after the other, of the latter one network, so that whoever brings many waits for himself.

import { Worker } from "node:worker_threads";

import { FairQueue } from "./fair-queue.ts";
import type { PasswordAnswer, PasswordQuestion } from "./password-worker.ts";
import type { LoginAttempt } from "./login-places.ts";

interface Waiting {
  readonly question: Omit<PasswordQuestion, "id">;
  readonly resolve: (matches: boolean) => void;
  readonly reject: (error: Error) => void;
}

export class PasswordCheck {
  /** Who waits, bounded by login-queue.ts. */
  readonly #known = new FairQueue<string, Waiting>();
  readonly #strangers = new FairQueue<string, Waiting>();
  #strangersTurn = true;
  #closed = false;
  #asked: Waiting | undefined;
  #worker: Worker | undefined;
  #lastId = 0;

  /** Rejects when it is closed before the answer. */
  matches(password: string, hash: string, { source, network, failing, known }: LoginAttempt): Promise<boolean> {
    if (this.#closed) return Promise.reject(new Error(ended));
    return new Promise((resolve, reject) => {
      const waiting = { question: { password, hash }, resolve, reject };
      if (known && !failing) this.#known.push(source, waiting);
      else this.#strangers.push(network, waiting);
      this.#askNext();
    });
  }

  /** Who waits is refused. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#worker?.terminate();
    for (let left = this.#next(); left !== undefined; left = this.#next()) left.reject(new Error(ended));
  }

  #askNext(): void {
    if (this.#asked !== undefined || this.#closed) return;
    this.#asked = this.#next();
    if (this.#asked === undefined) return;
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    this.#start().postMessage({ id: ++this.#lastId, ...this.#asked.question } satisfies PasswordQuestion);
  }

  #next(): Waiting | undefined {
    this.#strangersTurn = !this.#strangersTurn;
    return this.#strangersTurn ? (this.#strangers.next() ?? this.#known.next()) : (this.#known.next() ?? this.#strangers.next());
  }

  #answered(): Waiting | undefined {
    const answered = this.#asked;
    this.#asked = undefined;
    this.#askNext();
    return answered;
  }

  #start(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    const worker = new Worker(program());
    // Logins alone do not keep the process running.
    worker.unref();
    worker.on("message", ({ id, matches }: PasswordAnswer) => {
      if (id === this.#lastId) this.#answered()?.resolve(matches);
    });
    worker.on("error", (error) => this.#lose(worker, error));
    worker.on("exit", () => this.#lose(worker, new Error(ended)));
    this.#worker = worker;
    return worker;
  }

  #lose(worker: Worker, error: Error): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    // The others have another thread: a question that ends one ends nobody else's login.
    this.#answered()?.reject(error);
  }
}

const ended = "The password thread ended";

/** The build renames its files, but not what a string says. */
function program(): URL {
  const url = new URL("./password-worker.ts", import.meta.url);
  if (import.meta.url.endsWith(".js")) url.pathname = url.pathname.replace(/\.ts$/, ".js");
  return url;
}
