// The same race against CNCF distribution, with `garbage-collect` run beside the pushers, every five seconds, as its documentation warns not to do:
// there is no other way to collect without taking the registry offline.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { startDistribution } from "../support/distribution.ts";
import { program } from "../support/programs.ts";
import { tool } from "../support/tools.ts";
import { race, type RaceSummary } from "./race.ts";

const collectEvery = 5_000;

export async function raceDistribution(options: {
  readonly pushers: number;
  readonly seconds: number;
  readonly onProgress?: (line: string) => void;
}): Promise<RaceSummary & { readonly collected: number }> {
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-race-distribution-"));
  const distribution = await startDistribution({ folder });
  const over = new AbortController();
  let collected = 0;
  const collecting = (async () => {
    for (; !over.signal.aborted;) {
      // Rarely enough that pushers come through in between.
      await sleep(collectEvery, undefined, { signal: over.signal }).catch(() => undefined);
      const { stdout, stderr } = await program(await tool("registry"), ["garbage-collect", distribution.config], {
        env: { OTEL_TRACES_EXPORTER: "none" },
      });
      collected += [...`${stdout}${stderr}`.matchAll(/^blob eligible for deletion/gm)].length;
    }
  })();
  try {
    const { url } = distribution;
    const summary = await race({ ...options, lease: 0, once: false, url: () => url, urls: () => [url] }).finally(() => over.abort());
    await collecting;
    return { ...summary, collected };
  } finally {
    over.abort();
    await collecting;
    await distribution.stop();
    await rm(folder, { recursive: true, force: true });
  }
}
