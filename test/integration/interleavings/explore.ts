// Two operations, the first of them stopped at each of its failpoints in turn: the second runs until it ends or waits for the first, then the
// first goes on. Both answers must be those of one of the two orders without a stop, and so must everything that is left when all is collected.

import { setTimeout as sleep } from "node:timers/promises";

import type { Failpoint } from "../../../src/failpoints/names.ts";
import { Database } from "../../../src/registry/metadata/database.ts";
import type { Collector } from "../../../src/registry/services/deletion/collect.ts";
import { findViolations } from "../../chaos/invariants.ts";
import { hear, stopAt } from "../../support/failpoints.ts";
import { configuration } from "../../support/proposals.ts";
import { collect, collectorOf, podOf, type Fact, type Operation, type Pod } from "./operations.ts";
import { stateQuestion, type World } from "./world.ts";

/** Answers that no order without a stop gives, and that are right. */
const alsoLegal: readonly Legal[] = [
  {
    operations: ["U2", "G3"],
    answers: ["BLOB_UPLOAD_UNKNOWN", "done"],
    because: "a writer that was silent for too long is given up, and told so when it wakes; this collector calls everybody silent",
  },
  { operations: ["fill", "G3"], answers: ["given up", "done"], because: "the same" },
  {
    operations: ["PATCH", "PATCH"],
    answers: ["BLOB_UPLOAD_UNKNOWN", "202"],
    because: "the second request took the session over, and the first one's bytes with it",
  },
  { operations: ["PUT", "PATCH"], answers: ["BLOB_UPLOAD_UNKNOWN", "202"], because: "the same" },
  { operations: ["PUT", "PUT"], answers: ["BLOB_UPLOAD_UNKNOWN", "201"], because: "the same; the second says that the blob is there" },
  {
    operations: ["evict", "pin"],
    answers: ["done", "CONFLICT"],
    because: "the copy was whole when its evidence was looked for, and incomplete when it was locked: it is to be fetched again",
  },
  { operations: ["empty PUT", "empty PUT"], answers: ["BLOB_UPLOAD_UNKNOWN", "201"], because: "the same" },
];

interface Legal {
  readonly operations: readonly [string, string];
  readonly answers: readonly [string, string];
  readonly because: string;
}

export interface Explored {
  interleavings: number;
  /** The second operation waited for the first. */
  waited: number;
  /** Deadlocks that PostgreSQL ended; the transaction was run again. */
  deadlocks: number;
  readonly problems: string[];
}

interface Serial {
  readonly answers: readonly [string, string];
  readonly state: string;
  /** Failpoints of the one that was first: until it is stopped it is alone in a world that is always the same, so it reaches as many again. */
  readonly points: number;
}

const patience = 20_000;

export class Explorer {
  readonly #world: World;
  readonly #databases: readonly [Database, Database, Database];
  readonly #collectors: readonly Collector[];
  /** Everybody is silent to it at once. */
  readonly #draining: Collector;
  readonly #serial = new Map<string, Promise<Serial>>();
  readonly explored: Explored = { interleavings: 0, waited: 0, deadlocks: 0, problems: [] };

  constructor(world: World) {
    this.#world = world;
    const open = () => new Database({ url: world.url, connections: 3 });
    this.#databases = [open(), open(), open()];
    this.#collectors = this.#databases.map((database) => podOf(world, database).collector);
    this.#draining = collectorOf(world, this.#databases[2], 0);
  }

  /** `a` stops at each of its failpoints. `inOneProcess`: both requests come to the same one. */
  async pair(a: Operation, b: Operation, options: { readonly inOneProcess?: boolean } = {}): Promise<void> {
    const first = await this.#inOrder(a, b);
    const orders = [first, turned(await this.#inOrder(b, a))];
    for (let at = 0; at < first.points; at++) await this.#interleave(a, b, at, orders, options.inOneProcess ?? false);
  }

  async close(): Promise<void> {
    const [row] = await this.#world.ask<{ deadlocks: string }>("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()");
    this.explored.deadlocks = Number(row?.deadlocks);
    for (const database of this.#databases) await database.close();
  }

  async #interleave(a: Operation, b: Operation, at: number, orders: readonly Serial[], inOneProcess: boolean): Promise<void> {
    const [first, second, witness] = await this.#begin();
    const points: Failpoint[] = [];
    const running = stopAt(at, () => a.run(first), points);
    if (!(await running.reached)) throw new Error(`${a.name} had more failpoints than ${at} when it was alone`);
    const heard = hear(() => b.run(inOneProcess ? first : second));
    const waited = await this.#endsOrWaits(heard.result, () => heard.points.at(-1) === "session.interrupting");
    running.release();
    const answers = await inTime(Promise.all([answerOf(a, running.result), answerOf(b, heard.result)]));
    const name = `${a.name} at ${points.at(-1)} (${at}), ${b.name}${inOneProcess ? " in one process" : ""}: ${answers.join(", ")}`;
    this.explored.interleavings++;
    if (waited) this.explored.waited++;
    const tell = (problem: string) => void this.explored.problems.push(`${name}: ${problem}`);

    const same = orders.filter((order) => order.answers.join() === answers.join());
    for (const [index, operation] of [a, b].entries()) {
      if (!operation.answers.includes(answers[index]!)) tell(`${answers[index]} is no answer of ${operation.name}`);
    }
    if (same.length === 0 && !isLegal(a, b, answers))
      tell(`in order they answer ${orders.map((order) => order.answers.join(", ")).join(" or ")}`);
    const facts = factsOf(a, b, answers);
    await this.#check(facts, witness, "at once", tell);
    await collect(witness.collector);
    await this.#check(facts, podOf(this.#world, witness.database, witness.collector), "after collecting", tell);
    const state = await this.#drain(tell);
    if (same.length > 0 && same.every((order) => order.state !== state)) {
      tell(`in order, the same answers leave something else:\n${differences(same[0]!.state, state)}`);
    }
  }

  #inOrder(a: Operation, b: Operation): Promise<Serial> {
    const key = `${a.name}, ${b.name}`;
    const known = this.#serial.get(key);
    if (known !== undefined) return known;
    const run = async (): Promise<Serial> => {
      const [first, second] = await this.#begin();
      const alone = hear(() => a.run(first));
      const before = await answerOf(a, alone.result);
      const points = alone.points.length;
      const answers = [before, await answerOf(b, b.run(second))] as const;
      for (const [index, operation] of [a, b].entries()) {
        if (!operation.answers.includes(answers[index]!))
          this.explored.problems.push(`${key}: ${answers[index]} is no answer of ${operation.name}`);
      }
      const state = await this.#drain((problem) => void this.explored.problems.push(`${key} in order: ${problem}`));
      return { answers, state, points };
    };
    const serial = run();
    this.#serial.set(key, serial);
    return serial;
  }

  /** A fresh world, two processes and a third one that remembers what can be deleted. */
  async #begin(): Promise<[Pod, Pod, Pod]> {
    await this.#world.reset();
    if (this.#world.kind === "everything" && configuration.current().revision !== this.#world.revision) await configuration.reload();
    const pods = this.#databases.map((database, index) => podOf(this.#world, database, this.#collectors[index])) as [Pod, Pod, Pod];
    await pods[2].remember();
    return pods;
  }

  async #endsOrWaits(result: Promise<unknown>, waitsHere: () => boolean): Promise<boolean> {
    let ended = false;
    const end = () => void (ended = true);
    result.then(end, end);
    for (const deadline = performance.now() + patience; performance.now() < deadline;) {
      if (ended) return false;
      if (waitsHere()) return true;
      const [row] = await this.#world.ask<{ waits: boolean }>(
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock') AS waits",
      );
      if (!ended && row?.waits === true) return true;
      // Else the questions take the processor from the answer.
      await sleep(2);
    }
    throw new Error("the second operation neither ends nor waits for the first");
  }

  async #check(facts: readonly Fact[], pod: Pod, when: string, tell: (problem: string) => void): Promise<void> {
    for (const { subject, says, check } of facts) {
      await Promise.resolve(check(pod)).catch((error: Error) => tell(`${subject} ${says}: not so ${when} (${error.message})`));
    }
  }

  /** Everything is due and collected: what is left is compared, and the invariants hold. */
  async #drain(tell: (problem: string) => void): Promise<string> {
    const world = this.#world;
    for (let round = 0; round < 2; round++) {
      await world.ask(`UPDATE repository_blobs SET keep_until = now() - interval '1 hour';
        UPDATE gc_queue SET review_after = now() - interval '1 hour';
        UPDATE objects SET sweep_after = now() WHERE sweep_after > now()`);
      await collect(this.#draining);
    }
    for (const problem of await findViolations((sql) => world.ask(sql), world.checked, { collected: true })) tell(`invariant ${problem}`);
    const [row] = await world.ask<{ state: string }>(stateQuestion);
    return row?.state ?? "";
  }
}

function factsOf(a: Operation, b: Operation, answers: readonly [string, string]): readonly Fact[] {
  const said = [a, b].map((operation, index) => (answers[index] === operation.answers[0] ? (operation.promises ?? []) : []));
  const keeps = (fact: Fact, other: Operation, others: readonly Fact[]) =>
    !(other.takes ?? []).some((prefix) => fact.subject.startsWith(prefix)) &&
    !others.some(({ subject, says }) => subject === fact.subject && says !== fact.says);
  const [mine = [], yours = []] = said;
  return [...mine.filter((fact) => keeps(fact, b, yours)), ...yours.filter((fact) => keeps(fact, a, mine))];
}

/** Variants meet these of their area in every run; with INTERLEAVINGS=all they meet all, and the collector. */
const central = new Set(["D1", "M1 index", "evict", "publish"]);

/** Whether two operations are stopped in each other's way. */
export function meet(a: Operation, b: Operation): boolean {
  if (a.canonical && b.canonical) return true;
  if (a.area === "session") return true;
  if (process.env["INTERLEAVINGS"] === "all") return a.area === b.area || a.area === "gc" || b.area === "gc";
  return a.area === b.area && (central.has(a.name) || central.has(b.name));
}

function isLegal(a: Operation, b: Operation, answers: readonly string[]): boolean {
  const is = (operations: readonly string[], given: readonly string[], expected: readonly string[]) =>
    operations[0] === a.name && operations[1] === b.name && given.join() === expected.join();
  return alsoLegal.some(
    (row) => is(row.operations, answers, row.answers) || is(row.operations.toReversed(), answers, row.answers.toReversed()),
  );
}

async function answerOf(operation: Operation, result: Promise<unknown>): Promise<string> {
  try {
    await result;
    return operation.answers[0]!;
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    return code !== undefined && operation.answers.includes(code) ? code : `${code ?? "Error"} ${message}`;
  }
}

async function inTime<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`two operations did not end within ${patience} ms`)), patience);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

function turned({ answers: [b, a], state, points }: Serial): Serial {
  return { answers: [a, b], state, points };
}

/** Lines that only one of two states has. */
function differences(expected: string, found: string): string {
  const [left, right] = [expected, found].map((state) => JSON.parse(state) as Record<string, readonly string[] | string | null>);
  const lines: string[] = [];
  for (const part of Object.keys(left ?? {})) {
    const [before, after] = [left, right].map((state) => new Set([state?.[part] ?? []].flat()));
    for (const line of before!.difference(after!)) lines.push(`  - ${part}: ${line}`);
    for (const line of after!.difference(before!)) lines.push(`  + ${part}: ${line}`);
  }
  return lines.join("\n");
}
