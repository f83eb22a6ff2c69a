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
import { settled } from "./settled.ts";
import { verifyJournal } from "./verify.ts";

export interface FaultRow {
  readonly fault: string;
  /** Answers to pulls of an image that is there, by status; `none`: no answer in time. */
  readonly pulls: Readonly<Record<string, number>>;
  /** Milliseconds from the end of the fault until every pod took a push and gave it. */
  readonly recoveredAfter: number;
}

export interface Fixed {
  readonly digest: string;
  readonly blob: string;
}

export interface FaultSummary {
  readonly rows: readonly FaultRow[];
  readonly acknowledged: number;
  readonly problems: readonly string[];
}

const modes = { refuses: "refusing", stalls: "stalled", "is slow": { delay: 150 } } satisfies Record<string, HopMode>;
const patience = 3_000;
export const fixedRepository = "fixed/app";

export interface FaultOptions {
  /** Milliseconds that each fault lasts. */
  readonly hold: number;
  readonly pods: 1 | 2;
  readonly modes: readonly (keyof typeof modes)[];
  readonly onProgress?: (line: string) => void;
}

export async function faults(options: FaultOptions): Promise<FaultSummary> {
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-faults-"));
  const journal = new Journal(join(folder, "journal"));
  const cluster = await Cluster.start({
    pods: options.pods,
    // A writer that was cut off is not given up for that.
    gc: { lease: "60s", trashFor: "2s", doomDelay: "1s", interval: "200ms", uploadAbandonedAfter: `${5 + options.hold / 1000}s` },
  });
  const rows: FaultRow[] = [];
  const problems: string[] = [];
  let stopping = false;
  const clients = [1, 2, 3].map((number) =>
    pushUntilStopped({ name: String(number), journal, url: () => cluster.url(), stopped: () => stopping }),
  );
  try {
    const fixed = await pushFixed(cluster.url(), "kept");
    for (const part of ["database", "s3"] as const) {
      for (const name of options.modes) {
        for (const count of options.pods === 1 ? [1] : [1, 2]) {
          const pods = cluster.pods.slice(0, count);
          const fault = `${part} ${name}, ${count === 1 ? "one pod" : "both pods"}`;
          for (const { hops } of pods) hops[part].mode(modes[name]);
          const pulls = await pullFor(options.hold, cluster.urls(), fixed);
          for (const { hops } of pods) hops[part].mode("open");
          const recoveredAfter = await recovery({ urls: cluster.urls(), logs: () => cluster.logs() }, fault);
          rows.push({ fault, pulls, recoveredAfter });
          problems.push(...lies(pulls, fault));
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

/** An image that stays. */
export async function pushFixed(url: string, tag: string): Promise<Fixed> {
  const bytes = Buffer.from(`the layer of ${tag}`);
  const blob = await pushBlob(() => url, fixedRepository, bytes, { once: true });
  const manifest = manifestOf(blob, [blob], { tag });
  await pushManifest(url, fixedRepository, tag, manifest);
  return { digest: sha256(manifest), blob: blob.digest };
}

/** Pulls by tag, by digest and of a blob, from every pod, and counts the answers. */
export async function pullFor(milliseconds: number, urls: readonly string[], fixed: Fixed): Promise<Record<string, number>> {
  const counted: Record<string, number> = {};
  const paths = [`manifests/kept`, `manifests/${fixed.digest}`, `blobs/${fixed.blob}`];
  const end = performance.now() + milliseconds;
  await Promise.all(
    urls.flatMap((url) =>
      paths.map(async (path) => {
        while (performance.now() < end) {
          const status = await statusOf(`${url}/v2/${fixedRepository}/${path}`);
          counted[status] = (counted[status] ?? 0) + 1;
          await sleep(20);
        }
      }),
    ),
  );
  return counted;
}

/** A pull of what is there may fail, and never says that it is not. */
export function lies(pulls: Readonly<Record<string, number>>, when: string): string[] {
  return ["404", "401", "403"].filter((status) => status in pulls).map((status) => `2: ${when}: a pull of what is there was ${status}`);
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

/** Milliseconds until every process took a push, and gave it. */
export async function recovery({ urls, logs }: { urls: readonly string[]; logs: () => string }, fault: string): Promise<number> {
  const began = performance.now();
  for (const url of urls) {
    const works = async () => {
      const { digest } = await pushFixed(url, `after-${Math.trunc(performance.now())}`);
      return (await statusOf(`${url}/v2/${fixedRepository}/manifests/${digest}`)) === "200" ? true : undefined;
    };
    await answerTo(`after "${fault}" pod ${url} works again`, works, { seconds: 120, context: logs });
  }
  return Math.round(performance.now() - began);
}
