// The database fails over under clients that push and delete: its synchronous standby takes over, time and again, from a primary that was killed
// or that lives on behind a partition. What was acknowledged holds, and nobody serves what only the old primary knows.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { answerTo } from "../support/eventually.ts";
import { pushUntilStopped } from "./client.ts";
import { Cluster } from "./cluster.ts";
import { ReplicatedDatabase } from "./cluster-database.ts";
import { recovery } from "./faults.ts";
import { Journal } from "./journal.ts";
import { settled } from "./settled.ts";
import { verifyJournal } from "./verify.ts";

export interface FailoverRow {
  readonly old: "killed" | "left alone";
  /** Milliseconds from the moment that the address leads to the new primary until every pod took a push and gave it. */
  readonly recoveredAfter: number;
}

export interface FailoverSummary {
  readonly rows: readonly FailoverRow[];
  readonly acknowledged: number;
  readonly deleted: number;
  readonly problems: readonly string[];
}

const gc = { lease: "60s", trashFor: "2s", doomDelay: "1s", interval: "200ms", uploadAbandonedAfter: "15s" };
/** Milliseconds that a round goes on after there is something to lose, at most. */
const longestRest = 2_000;

export async function failovers(options: {
  readonly rounds: number;
  readonly pushers: number;
  readonly onProgress?: (line: string) => void;
}): Promise<FailoverSummary> {
  const { rounds, pushers, onProgress } = options;
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-failovers-"));
  const journal = new Journal(join(folder, "journal"));
  const database = await ReplicatedDatabase.start();
  const cluster = await Cluster.start({ pods: 2, gc, database });
  const rows: FailoverRow[] = [];
  const over = new AbortController();
  let pushed = 0;
  const clients = Array.from({ length: pushers }, (_, number) =>
    pushUntilStopped({
      name: String(number),
      journal,
      url: () => cluster.url(),
      stopped: () => over.signal.aborted,
      onPushed: () => pushed++,
    }),
  );
  try {
    for (let round = 0; round < rounds; round++) {
      const old = round % 2 === 0 ? "killed" : "left alone";
      const before = pushed;
      const context = () => cluster.logs();
      await answerTo("pushes are acknowledged", () => (pushed > before + pushers ? true : undefined), { seconds: 120, context });
      await sleep(Math.random() * longestRest);
      await database.failOver(old);
      const recoveredAfter = await recovery({ urls: cluster.urls(), logs: context }, `failover ${round + 1}`);
      rows.push({ old, recoveredAfter });
      onProgress?.(
        `failover ${round + 1} of ${rounds}: old primary ${old}, recovered after ${recoveredAfter} ms, ${pushed} pushes acknowledged`,
      );
      await database.forgetOld();
      await database.follow();
    }
    over.abort();
    await Promise.all(clients);
    const entries = journal.read();
    const problems = [...(await verifyJournal(entries, cluster.urls())).problems, ...(await settled(cluster))];
    const count = (op: string) => entries.filter(({ acknowledged, intent }) => acknowledged && intent.op === op).length;
    return { rows, acknowledged: count("push"), deleted: count("delete"), problems };
  } finally {
    over.abort();
    await Promise.allSettled(clients);
    await cluster.stop();
    journal.close();
    await rm(folder, { recursive: true, force: true });
  }
}
