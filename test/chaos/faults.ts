// Pods that are cut off from their database or their bucket: refused, slow, or stalled as a network partition does it; one pod or all of them,
// while clients push, pull and delete. A pull of what is there never says that it is not; afterwards everything works again by itself.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { answerTo } from "../support/eventually.ts";
import { manifestOf, pushBlob, pushManifest, pushUntilStopped, sha256 } from "./client.ts";
import { Cluster } from "./cluster.ts";
import type { HopMode } from "./hop.ts";
import { Journal } from "./journal.ts";
import { settled } from "./kill-rounds.ts";
import { verifyJournal } from "./verify.ts";

export interface FaultRow {
  readonly fault: string;
  /** Answers to pulls of an image that is there, by status; `none`: no answer in time. */
  readonly pulls: Readonly<Record<string, number>>;
  /** Milliseconds from the end of the fault until every pod took a push and gave it. */
  readonly recoveredAfter: number;
}

export interface FaultSummary {
  readonly rows: readonly FaultRow[];
  readonly acknowledged: number;
  readonly problems: readonly string[];
}

const gc = { lease: "60s", trashFor: "2s", doomDelay: "1s", interval: "200ms", uploadAbandonedAfter: "60s" };
const modes: readonly { readonly name: string; readonly mode: HopMode }[] = [
  { name: "refuses", mode: "refusing" },
  { name: "stalls", mode: "stalled" },
  { name: "is slow", mode: { delay: 150 } },
];
const patience = 3_000;
const repository = "fixed/app";

/** `hold`: milliseconds that each fault lasts. */
export async function faults(options: { readonly hold: number; readonly onProgress?: (line: string) => void }): Promise<FaultSummary> {
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-faults-"));
  const journal = new Journal(join(folder, "journal"));
  const cluster = await Cluster.start({ pods: 2, gc });
  const rows: FaultRow[] = [];
  const problems: string[] = [];
  let stopping = false;
  const clients = [1, 2, 3].map((number) =>
    pushUntilStopped({ name: String(number), journal, url: () => cluster.url(), stopped: () => stopping }),
  );
  try {
    const fixed = await pushFixed(cluster.url(), "kept");
    for (const part of ["database", "s3"] as const) {
      for (const { name, mode } of modes) {
        for (const pods of [cluster.pods.slice(0, 1), cluster.pods]) {
          const fault = `${part} ${name}, ${pods.length === 1 ? "one pod" : "both pods"}`;
          for (const { hops } of pods) hops[part].mode(mode);
          const pulls = await pullFor(options.hold, cluster, fixed);
          for (const { hops } of pods) hops[part].mode("open");
          const recoveredAfter = await recovery(cluster, fault);
          rows.push({ fault, pulls, recoveredAfter });
          for (const status of ["404", "401", "403"]) if (status in pulls) problems.push(`${fault}: a pull of what is there was ${status}`);
          options.onProgress?.(`${fault}: pulls ${JSON.stringify(pulls)}, recovered after ${recoveredAfter} ms`);
        }
      }
    }
    stopping = true;
    await Promise.all(clients);
    const entries = journal.read();
    problems.push(...(await verifyJournal(entries, cluster.urls())).problems, ...(await settled(cluster)));
    const acknowledged = entries.filter((entry) => entry.acknowledged && entry.intent.op === "push").length;
    return { rows, acknowledged, problems };
  } finally {
    stopping = true;
    for (const { hops } of cluster.pods) for (const hop of Object.values(hops)) hop.mode("open");
    await Promise.allSettled(clients);
    await cluster.stop();
    journal.close();
    await rm(folder, { recursive: true, force: true });
  }
}

async function pushFixed(url: string, tag: string): Promise<{ digest: string; blob: string }> {
  const bytes = Buffer.from(`the layer of ${tag}`);
  const blob = await pushBlob(() => url, repository, bytes, { once: true });
  const manifest = manifestOf(blob, [blob], { tag });
  await pushManifest(url, repository, tag, manifest);
  return { digest: sha256(manifest), blob: blob.digest };
}

/** Pulls by tag, by digest and of a blob, from every pod, and counts the answers. */
async function pullFor(milliseconds: number, cluster: Cluster, fixed: { digest: string; blob: string }): Promise<Record<string, number>> {
  const counted: Record<string, number> = {};
  const paths = [`manifests/kept`, `manifests/${fixed.digest}`, `blobs/${fixed.blob}`];
  const end = performance.now() + milliseconds;
  await Promise.all(
    cluster.urls().flatMap((url) =>
      paths.map(async (path) => {
        while (performance.now() < end) {
          const status = await statusOf(`${url}/v2/${repository}/${path}`);
          counted[status] = (counted[status] ?? 0) + 1;
          await sleep(20);
        }
      }),
    ),
  );
  return counted;
}

async function statusOf(url: string): Promise<string> {
  try {
    const reply = await fetch(url, { signal: AbortSignal.timeout(patience) });
    await reply.arrayBuffer();
    return String(reply.status);
  } catch {
    return "none";
  }
}

/** Every pod takes a push, and gives it. */
async function recovery(cluster: Cluster, fault: string): Promise<number> {
  const began = performance.now();
  for (const url of cluster.urls()) {
    const works = async () => {
      const { digest } = await pushFixed(url, `after-${Math.trunc(performance.now())}`);
      return (await statusOf(`${url}/v2/${repository}/manifests/${digest}`)) === "200" ? true : undefined;
    };
    await answerTo(`after "${fault}" pod ${url} works again`, works, { seconds: 120, context: () => cluster.logs() });
  }
  return Math.round(performance.now() - began);
}
