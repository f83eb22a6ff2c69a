// A bucket whose service answers with errors: any request of the pods may get a 5xx, a 429, a broken connection, half an answer, none although it
// was done, or a 200 that is none, while clients push and delete and the pods collect.

import { randomInt } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import type { Fault, FaultyHop } from "../support/faulty-hop.ts";
import { pushUntilStopped } from "./client.ts";
import { Cluster } from "./cluster.ts";
import { lies, pullFor, pushFixed, recovery } from "./faults.ts";
import { Journal } from "./journal.ts";
import { settled } from "./settled.ts";
import { verifyJournal } from "./verify.ts";

export interface S3ErrorSummary {
  /** How often each was done. */
  readonly faults: Readonly<Record<string, number>>;
  readonly acknowledged: number;
  readonly deleted: number;
  /** Pushes and deletes that failed. */
  readonly failed: number;
  /** Objects that the pods deleted. */
  readonly collected: number;
  /** Answers to pulls of an image that is there, by status. */
  readonly pulls: Readonly<Record<string, number>>;
  /** Milliseconds from the last fault until every pod took a push and gave it. */
  readonly recoveredAfter: number;
  readonly problems: readonly string[];
}

const gc = { lease: "20s", trashFor: "2s", doomDelay: "1s", interval: "200ms", uploadAbandonedAfter: "10s" };
const errorOf = (code: string) => `<Error><Code>${code}</Code></Error>`;
const whatever = /^/;
const kinds: readonly { readonly name: string; readonly fault: Fault; readonly matching: RegExp }[] = [
  { name: "500", fault: { answer: 500, body: errorOf("InternalError") }, matching: whatever },
  { name: "503", fault: { answer: 503, body: errorOf("SlowDown") }, matching: whatever },
  { name: "429", fault: { answer: 429, body: errorOf("TooManyRequests") }, matching: whatever },
  { name: "502 in HTML", fault: { answer: 502, body: "<html>bad gateway</html>" }, matching: whatever },
  { name: "connection refused", fault: "refused", matching: whatever },
  { name: "request cut", fault: "cut request", matching: /^PUT / },
  { name: "answer cut", fault: "cut answer", matching: /^GET / },
  { name: "answer lost", fault: "lost answer", matching: whatever },
  { name: "error in 200 of a completed upload", fault: "error in 200", matching: /^POST .*uploadId=/ },
];
/** So that some uploads have several parts. */
const largest = 8_000_000;
/** Milliseconds between two faults, at most. */
const longestPause = 60;
/** Until a request comes that a fault fits, at most. */
const longestWait = 1_000;

export async function s3Errors(options: {
  readonly seconds: number;
  readonly pushers: number;
  readonly onProgress?: (line: string) => void;
}): Promise<S3ErrorSummary> {
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-s3-errors-"));
  const journal = new Journal(join(folder, "journal"));
  const cluster = await Cluster.start({ pods: 2, gc, s3Errors: true });
  const hop = cluster.s3Errors!;
  const over = new AbortController();
  let failed = 0;
  const clients = Array.from({ length: options.pushers }, (_, number) =>
    pushUntilStopped({
      name: String(number),
      journal,
      url: () => cluster.url(),
      stopped: () => over.signal.aborted,
      onFailed: () => failed++,
      largest,
    }),
  );
  try {
    const fixed = await pushFixed(cluster.url(), "kept");
    const disturbed = disturb(hop, options.seconds * 1000);
    const pulls = await pullFor(options.seconds * 1000, cluster.urls(), fixed);
    const counted = await disturbed;
    const recoveredAfter = await recovery({ urls: cluster.urls(), logs: () => cluster.logs() }, "the errors of S3");
    over.abort();
    await Promise.all(clients);
    options.onProgress?.(`faults ${JSON.stringify(counted)}, pulls ${JSON.stringify(pulls)}, recovered after ${recoveredAfter} ms`);
    const entries = journal.read();
    const problems = [
      ...lies(pulls, "while S3 answered with errors"),
      ...(await verifyJournal(entries, cluster.urls())).problems,
      ...(await settled(cluster)),
    ];
    const count = (op: string) => entries.filter(({ acknowledged, intent }) => acknowledged && intent.op === op).length;
    const collected = await cluster.collected();
    return { faults: counted, acknowledged: count("push"), deleted: count("delete"), failed, collected, pulls, recoveredAfter, problems };
  } finally {
    over.abort();
    hop.calm();
    await Promise.allSettled(clients);
    await cluster.stop();
    journal.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** One fault after the other, each for the next request that it fits. Resolves with how often each was done. */
async function disturb(hop: FaultyHop, milliseconds: number): Promise<Record<string, number>> {
  const counted: Record<string, number> = {};
  for (const end = performance.now() + milliseconds; performance.now() < end;) {
    const { name, fault, matching } = kinds[randomInt(kinds.length)]!;
    const before = hop.done.length;
    hop.fail(matching, fault);
    await sleep(randomInt(longestPause));
    for (let waited = 0; hop.done.length === before && waited < longestWait; waited += 10) await sleep(10);
    // What nothing fitted is not left for later: only so is the number of its name.
    hop.calm();
    if (hop.done.length > before) counted[name] = (counted[name] ?? 0) + 1;
  }
  return counted;
}
