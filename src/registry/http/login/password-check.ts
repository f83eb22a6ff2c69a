// Checks passwords against their hashes in a thread of its own, one at a time, in an order that is fair: of those who logged in lately and of strangers by
// turns, of the former one source after the other, of the latter one network, so that whoever brings many waits for himself.

import { Worker } from "node:worker_threads";

import { FairQueue } from "./fair-queue.ts";
import type { PasswordAnswer, PasswordQuestion } from "./password-worker.ts";
import type { LoginAttempt } from "./login-places.ts";

interface Waiting {
  readonly question: Omit<PasswordQuestion, "id">;
  readonly same: string | undefined;
  readonly resolve: (matches: boolean) => void;
  readonly reject: (error: Error) => void;
  /** Another one that asked the same had its turn before. */
  answered: boolean;
}

export class PasswordCheck {
  /** Who waits, bounded by login-queue.ts. */
  readonly #known = new FairQueue<string, Waiting>();
  readonly #strangers = new FairQueue<string, Waiting>();
  /** Those of them that ask the same. */
  readonly #same = new Map<string, Set<Waiting>>();
  #strangersTurn = true;
  #closed = false;
  #asked: Waiting | undefined;
  #worker: Worker | undefined;
  #lastId = 0;

  /**
   * Rejects when it is closed before the answer. `same`: who gives the same text asks the same (a name, its password and its hash), and is answered with
   * the first of them that has its turn. By the hash alone one could tell which names have none of their own.
   */
  matches(password: string, hash: string, { source, network, failing, known }: LoginAttempt, same?: string): Promise<boolean> {
    if (this.#closed) return Promise.reject(new Error(ended));
    return new Promise((resolve, reject) => {
      const waiting: Waiting = { question: { password, hash }, same, resolve, reject, answered: false };
      if (same !== undefined) this.#same.set(same, (this.#same.get(same) ?? new Set()).add(waiting));
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
    let next = this.#turn();
    while (next?.answered === true) next = this.#turn();
    return next;
  }

  #turn(): Waiting | undefined {
    this.#strangersTurn = !this.#strangersTurn;
    return this.#strangersTurn ? (this.#strangers.next() ?? this.#known.next()) : (this.#known.next() ?? this.#strangers.next());
  }

  /** Whom an answer is for; of an error only who asked. */
  #answered(whom: "all" | "one"): readonly Waiting[] {
    const asked = this.#asked;
    this.#asked = undefined;
    const answered = asked === undefined ? [] : whom === "all" ? [asked, ...this.#alike(asked)] : [asked];
    for (const one of answered) {
      one.answered = true;
      this.#forget(one);
    }
    this.#askNext();
    return answered;
  }

  #alike(asked: Waiting): readonly Waiting[] {
    return asked.same === undefined ? [] : [...(this.#same.get(asked.same) ?? [])].filter((one) => one !== asked);
  }

  #forget(waiting: Waiting): void {
    if (waiting.same === undefined) return;
    const alike = this.#same.get(waiting.same);
    alike?.delete(waiting);
    if (alike?.size === 0) this.#same.delete(waiting.same);
  }

  #start(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    const worker = new Worker(program());
    // Logins alone do not keep the process running.
    worker.unref();
    worker.on("message", ({ id, matches }: PasswordAnswer) => {
      if (id !== this.#lastId) return;
      for (const { resolve } of this.#answered("all")) resolve(matches);
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
    for (const { reject } of this.#answered("one")) reject(error);
  }
}

const ended = "The password thread ended";

/** The build renames its files, but not what a string says. */
function program(): URL {
  const url = new URL("./password-worker.ts", import.meta.url);
  if (import.meta.url.endsWith(".js")) url.pathname = url.pathname.replace(/\.ts$/, ".js");
  return url;
}
