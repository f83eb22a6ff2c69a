// Disks that become full under clients that push and delete: that of the blobs to its last byte, so that writes fail in their middle, and that of
// the embedded database to below its mark, so that PostgreSQL lives. Space is all that is needed for writes to come back.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { stringify } from "yaml";

import type { AuditReport } from "../../src/api/control/audit.ts";
import { answerTo } from "../support/eventually.ts";
import { fillUp, makeRoom, seenBy, underSmallDisks } from "../support/small-disks.ts";
import { startStandalone, type Standalone } from "../support/standalone.ts";
import { pushUntilStopped, UnexpectedAnswer } from "./client.ts";
import { lies, pullFor, pushFixed, recovery } from "./faults.ts";
import { Journal } from "./journal.ts";
import { verifyJournal } from "./verify.ts";

export interface DiskRow {
  readonly disk: string;
  /** Answers to pulls of an image that is there, by status. */
  readonly pulls: Readonly<Record<string, number>>;
  /** Milliseconds from the moment there was room until a push was taken and given, and one of the clients had pushed. */
  readonly recoveredAfter: number;
}

export interface DiskSummary {
  readonly rows: readonly DiskRow[];
  readonly acknowledged: number;
  /** Pushes and deletes that failed, by status. */
  readonly refused: Readonly<Record<string, number>>;
  readonly problems: readonly string[];
}

const mebibyte = 1024 ** 2;
const pushesBetween = 20;
const sizes = { blobs: 160 * mebibyte, postgres: 192 * mebibyte };
const settings = {
  gc: { lease: "10s", trashFor: "2s", doomDelay: "1s", interval: "200ms", uploadAbandonedAfter: "10s" },
  backup: { interval: "0s" },
  // No mark: the disk itself says that it is full.
  storage: { lowWaterBytes: 0 },
  spool: { lowWaterBytes: 0 },
  database: { lowWaterBytes: "48Mi" },
};
/** What is left free. */
const cases: readonly { readonly disk: string; readonly blobs?: number; readonly postgres?: number }[] = [
  { disk: "of the blobs, full", blobs: 0 },
  { disk: "of the blobs, all but full", blobs: 300_000 },
  { disk: "of the database, below its mark", postgres: 24 * mebibyte },
  { disk: "both", blobs: 0, postgres: 24 * mebibyte },
];

/** `hold`: milliseconds that a disk stays full. */
export async function disksFull(options: {
  readonly hold: number;
  readonly pushers: number;
  readonly onProgress?: (line: string) => void;
}): Promise<DiskSummary> {
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-disks-"));
  const journal = new Journal(join(folder, "journal"));
  const standalone = await start(folder);
  const { url, data, pid } = standalone;
  const [blobs, postgres] = ["blobs", "postgres"].map((name) => seenBy(pid, join(data, name))) as [string, string];
  const rows: DiskRow[] = [];
  const problems: string[] = [];
  const refused: Record<string, number> = {};
  const over = new AbortController();
  let pushed = 0;
  const clients = Array.from({ length: options.pushers }, (_, number) =>
    pushUntilStopped({
      name: String(number),
      journal,
      url: () => url,
      stopped: () => over.signal.aborted,
      largest: 60_000,
      onPushed: () => pushed++,
      onFailed: (error) => {
        const what = error instanceof UnexpectedAnswer ? String(error.status) : (error as Error).name;
        refused[what] = (refused[what] ?? 0) + 1;
      },
    }),
  );
  try {
    const fixed = await pushFixed(url, "kept");
    for (const full of cases) {
      if (full.blobs !== undefined) await fillUp(blobs, full.blobs);
      if (full.postgres !== undefined) await fillUp(postgres, full.postgres);
      const pulls = await pullFor(options.hold, [url], fixed);
      await makeRoom(blobs);
      await makeRoom(postgres);
      const when = `disk ${full.disk}`;
      const room = performance.now();
      const before = pushed;
      const logs = () => standalone.logs().slice(-3000);
      await recovery({ urls: [url], logs }, when);
      // Those who were refused all the while, too.
      await answerTo(`${when}: a client pushes again`, () => (pushed > before ? true : undefined), { seconds: 120, context: logs });
      const recoveredAfter = Math.round(performance.now() - room);
      // So that the next full disk has something to lose.
      await answerTo(`${when}: clients push`, () => (pushed >= before + pushesBetween ? true : undefined), { seconds: 120, context: logs });
      rows.push({ disk: full.disk, pulls, recoveredAfter });
      problems.push(...lies(pulls, when));
      options.onProgress?.(`${when}: pulls ${JSON.stringify(pulls)}, recovered after ${recoveredAfter} ms`);
    }
    over.abort();
    await Promise.all(clients);
    const entries = journal.read();
    problems.push(...(await verifyJournal(entries, [url])).problems, ...(await audited(standalone)));
    const acknowledged = entries.filter((entry) => entry.acknowledged && entry.intent.op === "push").length;
    return { rows, acknowledged, refused, problems };
  } finally {
    over.abort();
    await Promise.allSettled(clients);
    await standalone.stop();
    journal.close();
    await rm(folder, { recursive: true, force: true });
  }
}

async function start(folder: string): Promise<Standalone> {
  const data = join(folder, "data");
  const file = join(folder, "settings.yaml");
  await writeFile(file, stringify(settings));
  const under = await underSmallDisks({ [join(data, "blobs")]: sizes.blobs, [join(data, "postgres")]: sizes.postgres });
  return startStandalone({ data, settings: file, under });
}

/** What `wharfinger audit --deep` finds. */
async function audited(standalone: Standalone): Promise<string[]> {
  const { code, stdout, stderr } = await standalone.cli(["audit", "--deep", "-o", "json"]);
  if (code !== 0) return [`audit ended with ${code}: ${stderr}${stdout}`];
  return (JSON.parse(stdout) as AuditReport).findings.map((finding) => `audit: ${JSON.stringify(finding)}`);
}
