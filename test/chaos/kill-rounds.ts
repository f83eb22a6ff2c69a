// Rounds of kill -9 in the middle of pushes, uploads and collecting: of one pod or all, at a moment or at a step of the protocol, of PostgreSQL, of
// the S3 service, and of several at once. Nothing that was acknowledged may be lost.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { failpoints } from "../../src/failpoints/names.ts";
import { answerTo } from "../support/eventually.ts";
import { pushUntilStopped } from "./client.ts";
import { Cluster, type Pod } from "./cluster.ts";
import { Journal } from "./journal.ts";
import { settled } from "./settled.ts";
import { verifyJournal } from "./verify.ts";

export interface KillOptions {
  readonly rounds: number;
  readonly pushers: number;
  readonly onProgress?: (line: string) => void;
}

export interface KillSummary {
  readonly rounds: number;
  readonly kills: Readonly<Record<string, number>>;
  /** Steps of the protocol at which a pod killed itself. */
  readonly steps: readonly string[];
  readonly acknowledged: number;
  /** Intended and never answered. */
  readonly cut: number;
  readonly deleted: number;
  readonly problems: readonly string[];
}

const gc = { lease: "20s", trashFor: "2s", doomDelay: "1s", interval: "200ms", uploadAbandonedAfter: "10s" };
/** Rounds between two looks at everything. */
const roundsOfLeg = 25;
/** Milliseconds that a round goes on after there is something to lose, at most. */
const longestRest = 1_500;
/** Steps that these clients reach: they restore, mount and cancel nothing, and have no referrers. */
const reachable = failpoints.filter(
  (name) =>
    !/^(?:restore|pin|publish|record|status|keys|D1\.blob|U3\.mount|G3|G2\.retried|M1\.children|session\.cancel|D1\.noted|D1\.followed)/.test(
      name,
    ),
);
const victims = ["a pod", "a pod at a step", "both pods", "PostgreSQL", "S3", "a pod and PostgreSQL", "everything"] as const;

export async function killRounds(options: KillOptions): Promise<KillSummary> {
  const { rounds, onProgress = () => undefined } = options;
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-journal-"));
  const journal = new Journal(join(folder, "journal"));
  const cluster = await Cluster.start({ pods: 2, gc });
  const kills: Record<string, number> = {};
  const steps: string[] = [];
  const problems: string[] = [];
  try {
    for (let round = 0; round < rounds && problems.length === 0;) {
      const count = Math.min(roundsOfLeg, rounds - round);
      await leg(cluster, journal, options, { from: round, count, kills, steps });
      round += count;
      problems.push(...(await verifyJournal(journal.read(), cluster.urls())).problems, ...(await settled(cluster)));
      onProgress(`verified after ${round} rounds: ${problems.length} problems`);
    }
    const entries = journal.read();
    const count = (op: string) => entries.filter(({ acknowledged, intent }) => acknowledged && intent.op === op).length;
    const cut = entries.filter(({ acknowledged }) => !acknowledged).length;
    return { rounds, kills, steps: [...new Set(steps)].sort(), acknowledged: count("push"), deleted: count("delete"), cut, problems };
  } finally {
    await cluster.stop();
    journal.close();
    await rm(folder, { recursive: true, force: true });
  }
}

interface Leg {
  readonly from: number;
  readonly count: number;
  readonly kills: Record<string, number>;
  readonly steps: string[];
}

/** Rounds with clients that push all the while. */
async function leg(
  cluster: Cluster,
  journal: Journal,
  { rounds, pushers, onProgress }: KillOptions,
  { from, count, kills, steps }: Leg,
): Promise<void> {
  let pushed = 0;
  let stopping = false;
  const clients = Array.from({ length: pushers }, (_, number) =>
    pushUntilStopped({ name: `${from}-${number}`, journal, url: () => cluster.url(), stopped: () => stopping, onPushed: () => pushed++ }),
  );
  try {
    for (let round = from; round < from + count; round++) {
      const victim = victims[round % victims.length]!;
      kills[victim] = (kills[victim] ?? 0) + 1;
      const [first, second] = cluster.pods.toSorted(() => Math.random() - 0.5) as [Pod, Pod];
      const before = pushed;
      const context = () => cluster.logs();
      await answerTo(`round ${round + 1}: a push is acknowledged`, () => (pushed > before ? true : undefined), { seconds: 120, context });
      await sleep(Math.random() * longestRest);
      if (victim === "a pod at a step") steps.push(await killAtStep(cluster, first));
      else await Promise.all(killsOf(victim).map((kill) => kill(cluster, first, second)));
      for (const pod of cluster.pods) if (pod.process === undefined) await cluster.startPod(pod);
      onProgress?.(`round ${round + 1} of ${rounds}: killed ${victim}; ${pushed} pushes acknowledged in this leg`);
    }
  } finally {
    stopping = true;
    await Promise.all(clients);
  }
}

type Kill = (cluster: Cluster, first: Pod, second: Pod) => Promise<void>;
const pod: Kill = (cluster, first) => cluster.killPod(first);
const otherPod: Kill = (cluster, _, second) => cluster.killPod(second);
const postgres: Kill = (cluster) => cluster.crashPostgres();
const s3: Kill = (cluster) => cluster.crashS3();

function killsOf(victim: Exclude<(typeof victims)[number], "a pod at a step">): readonly Kill[] {
  switch (victim) {
    case "a pod":
      return [pod];
    case "both pods":
      return [pod, otherPod];
    case "PostgreSQL":
      return [postgres];
    case "S3":
      return [s3];
    case "a pod and PostgreSQL":
      return [pod, postgres];
    case "everything":
      return [pod, otherPod, postgres, s3];
  }
}

/** The pod is started again with an order to kill itself at a step, which these clients make it reach. */
async function killAtStep(cluster: Cluster, pod: Pod): Promise<string> {
  const step = reachable[Math.trunc(Math.random() * reachable.length)]!;
  await cluster.killPod(pod);
  // Not the first time that it is there: by then others are on their way too.
  await cluster.startPod(pod, `${step}:20%kill`).catch((error: unknown) => {
    // The collector of a pod may reach it before the pod is ready.
    if (!String(error).includes("before it was ready")) throw error;
  });
  const ended = pod.process?.exited ?? Promise.resolve(0);
  const died = await Promise.race([ended.then(() => true), sleep(5_000).then(() => false)]);
  // A step that nobody reached in time: it dies at any moment instead.
  await cluster.killPod(pod);
  return died ? step : "none reached";
}
