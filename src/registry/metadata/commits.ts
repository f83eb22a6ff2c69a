// COMMIT, and what is done when its answer does not come: the connection was cut, or the server still waits for its synchronous standby.

import { setTimeout as sleep } from "node:timers/promises";

import { outcomeOf, type CommitMark, type CommitOutcome } from "./commit-marks.ts";
import type { Connection, Result } from "./connections.ts";
import type { Queryable } from "./statement.ts";
import { codeOf } from "./sql-state.ts";
import { DatabaseUnavailable } from "./unavailable.ts";

/** Milliseconds between two questions for the outcome, while somebody waits and when nobody does any more. */
const askAgainAfter = 100;
const lookAfter = 5_000;

/** The server says no to the COMMIT itself: a deferred constraint, a serialization failure. */
const definite = /^(?:23|40)/;

export class Commits {
  readonly #database: Queryable;
  readonly #patience: number;
  /** Connections whose COMMIT has no answer yet although nobody waits for it any more. */
  readonly #hanging = new Set<Connection>();

  /** `patience`: milliseconds for the answer to a COMMIT, and as long again to find out what became of it. */
  constructor(options: { readonly database: Queryable; readonly patience: number }) {
    this.#database = options.database;
    this.#patience = options.patience;
  }

  /**
   * Resolves when the transaction is committed for good. Rejects with DatabaseUnavailable: `LOST` when it certainly is not, `OUTCOME_UNKNOWN` when
   * nobody can say so in time. `done` is called when the connection is free, which may be later. Without a mark what is not answered is `LOST`.
   */
  async commit(connection: Connection, mark: CommitMark | undefined, done: (failure?: unknown) => void): Promise<void> {
    const answer = answerOf(connection, (failure) => this.#free(connection, done, failure));
    if (mark === undefined) {
      if ((await answer) === "lost") throw notCommitted();
      return;
    }
    const patience = new AbortController();
    const late = sleep(this.#patience, "late" as const, { signal: patience.signal }).catch(() => "late" as const);
    const first = await Promise.race([answer, late]).finally(() => patience.abort());
    if (first === "committed") return;
    if (first === "lost") return this.#findOut(mark);
    answer.catch(() => undefined);
    await this.#decideLate(connection, mark);
  }

  /**
   * The result of a single statement that writes. Rejects as the driver does, and with `OUTCOME_UNKNOWN` when there is no answer in time: the
   * connection stays ours until there is one.
   */
  async inTime(connection: Connection, answer: Promise<Result>, done: (failure?: unknown) => void): Promise<Result> {
    const over = new AbortController();
    const settled = answer.then(
      (result) => {
        const missing = connection.unreplicated();
        this.#free(connection, done);
        if (missing) throw notReplicated();
        return result;
      },
      (error: unknown) => {
        this.#free(connection, done, error);
        throw error;
      },
    );
    const late = sleep(this.#patience, undefined, { signal: over.signal }).catch(() => undefined);
    const first = await Promise.race([settled, late]).finally(() => over.abort());
    if (first !== undefined) return first;
    settled.catch(() => undefined);
    this.#hanging.add(connection);
    throw unknownOutcome();
  }

  #free(connection: Connection, done: (failure?: unknown) => void, failure?: unknown): void {
    this.#hanging.delete(connection);
    done(failure);
  }

  /** Ends what hangs: the servers decide it without us. */
  close(): void {
    for (const connection of this.#hanging) connection.cut();
  }

  async #findOut(mark: CommitMark): Promise<void> {
    const deadline = performance.now() + this.#patience;
    let failure: unknown;
    do {
      const outcome = await this.#ask(mark, deadline - performance.now()).catch((error: unknown) => void (failure = error));
      if (outcome === "committed") return;
      if (outcome === "rolled back") throw notCommitted();
      await sleep(askAgainAfter);
    } while (performance.now() < deadline);
    throw unknownOutcome(failure);
  }

  /** Undefined: no answer within so many milliseconds. The question itself may have to wait for the standby. */
  async #ask(mark: CommitMark, milliseconds: number): Promise<CommitOutcome | undefined> {
    const over = new AbortController();
    const late = sleep(milliseconds, undefined, { signal: over.signal }).catch(() => undefined);
    return Promise.race([outcomeOf(this.#database, mark), late]).finally(() => over.abort());
  }

  async #decideLate(connection: Connection, mark: CommitMark): Promise<void> {
    const outcome = await this.#ask(mark, this.#patience).catch(() => undefined);
    if (outcome === "committed" || outcome === "rolled back") {
      // The server has ended it, and its answer is not going to come.
      connection.cut();
      if (outcome === "committed") return;
      throw notCommitted();
    }
    this.#hanging.add(connection);
    void this.#awaitEnd(connection, mark);
    throw unknownOutcome();
  }

  /**
   * A COMMIT that waits for its standby holds a slot of the server, also when we go away. So its connection stays ours until the server has ended
   * it: a pod that everybody keeps pushing to does not fill the server with transactions that wait.
   */
  async #awaitEnd(connection: Connection, mark: CommitMark): Promise<void> {
    while (this.#hanging.has(connection)) {
      await sleep(lookAfter, undefined, { ref: false });
      const outcome: CommitOutcome | undefined = await outcomeOf(this.#database, mark).catch(() => undefined);
      if (outcome !== undefined && outcome !== "in progress") connection.cut();
    }
  }
}

/** `lost`: nothing was said about the outcome. Rejects when the server says that it was rolled back, or that the standby has not got it. */
async function answerOf(connection: Connection, done: (failure?: unknown) => void): Promise<"committed" | "lost"> {
  let command: string;
  try {
    ({ command } = await connection.send({ text: "COMMIT", within: null }));
  } catch (error) {
    done(error);
    if (definite.test(codeOf(error) ?? "")) throw error;
    return "lost";
  }
  const missing = connection.unreplicated();
  done();
  if (missing) throw notReplicated();
  // A statement failed, and whoever sent it went on as if it had not.
  if (command !== "COMMIT") throw new Error(`the database ended a transaction with ${command}: one of its statements had failed`);
  return "committed";
}

/** It is on the server that answers, but somebody made it stop waiting for the standby: a failover may lose it. */
export function notReplicated(): DatabaseUnavailable {
  return new DatabaseUnavailable("OUTCOME_UNKNOWN", "The change is not on the synchronous standby: its server was told to stop waiting.");
}

function notCommitted(): DatabaseUnavailable {
  return new DatabaseUnavailable("LOST", "The connection to the database was lost before the change was made.");
}

function unknownOutcome(cause?: unknown): DatabaseUnavailable {
  return new DatabaseUnavailable("OUTCOME_UNKNOWN", "The database did not say in time whether the change was made.", cause);
}
