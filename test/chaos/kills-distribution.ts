// The same rounds of kill -9, by the same clients with the same journal, against CNCF distribution: on its filesystem driver, or on its S3 driver,
// whose service is then killed as well. It is not told to collect meanwhile; its documentation forbids that.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { startDistribution, type Distribution } from "../support/distribution.ts";
import { answerTo } from "../support/eventually.ts";
import { startS3Service, type S3Service } from "../support/s3-service.ts";
import { pushUntilStopped } from "./client.ts";
import { Journal } from "./journal.ts";
import type { KillOptions } from "./kill-rounds.ts";
import { verifyJournal } from "./verify.ts";

export interface DistributionKills {
  readonly rounds: number;
  readonly kills: Readonly<Record<string, number>>;
  readonly acknowledged: number;
  /** Intended and never answered. */
  readonly cut: number;
  readonly deleted: number;
  /** Acknowledged and lost, broken, or back although deleted. */
  readonly broken: readonly string[];
}

/** Milliseconds that a round goes on after there is something to lose, at most: as in our own. */
const longestRest = 1_500;

export async function killDistribution(options: KillOptions & { readonly driver: "filesystem" | "s3" }): Promise<DistributionKills> {
  const { rounds, pushers, driver, onProgress } = options;
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-kills-distribution-"));
  const journal = new Journal(join(folder, "journal"));
  let s3: S3Service | undefined = driver === "s3" ? await startS3Service() : undefined;
  const start = () => startDistribution(s3 === undefined ? { folder: join(folder, "data") } : { bucket: bucketOf(s3) });
  let registry: Distribution = await start();
  const victims = s3 === undefined ? ["registry"] : ["registry", "S3", "both"];
  const kills: Record<string, number> = {};
  let pushed = 0;
  let stopping = false;
  const clients = Array.from({ length: pushers }, (_, number) =>
    pushUntilStopped({
      name: String(number),
      journal,
      url: () => registry.url,
      stopped: () => stopping,
      onPushed: () => pushed++,
      once: false,
    }),
  );
  try {
    for (let round = 0; round < rounds; round++) {
      const victim = victims[round % victims.length]!;
      kills[victim] = (kills[victim] ?? 0) + 1;
      const before = pushed;
      await answerTo(`round ${round + 1}: a push is acknowledged`, () => (pushed > before ? true : undefined), { seconds: 120 });
      await sleep(Math.random() * longestRest);
      const ending: Promise<void>[] = [];
      if (victim !== "registry" && s3 !== undefined) ending.push(s3.kill9());
      if (victim !== "S3") {
        process.kill(registry.pid, "SIGKILL");
        ending.push(registry.stop());
      }
      await Promise.all(ending);
      if (victim !== "registry") s3 = await s3?.restart();
      if (victim !== "S3") registry = await start();
      onProgress?.(`round ${round + 1} of ${rounds}: killed ${victim}; ${pushed} pushes acknowledged`);
    }
    stopping = true;
    await Promise.all(clients);
    const entries = journal.read();
    const { problems } = await verifyJournal(entries, [registry.url]);
    const count = (op: string) => entries.filter(({ acknowledged, intent }) => acknowledged && intent.op === op).length;
    const cut = entries.filter(({ acknowledged }) => !acknowledged).length;
    return { rounds, kills, acknowledged: count("push"), deleted: count("delete"), cut, broken: problems };
  } finally {
    stopping = true;
    await Promise.allSettled(clients);
    await registry.stop();
    await s3?.stop();
    journal.close();
    await rm(folder, { recursive: true, force: true });
  }
}

function bucketOf({ settings }: S3Service) {
  const { bucket, region, endpoint, credentials } = settings;
  return { bucket, region, endpoint, credentials, prefix: "distribution" };
}
