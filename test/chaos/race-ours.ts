import { Cluster } from "./cluster.ts";
import { settled } from "./settled.ts";
import { race, type RaceSummary } from "./race.ts";

const lease = 3_000;
// Nothing waits before it is collected, and pods look for it all the time.
const gc = { lease: `${lease / 1000}s`, trashFor: "0s", doomDelay: "0s", interval: "100ms", uploadAbandonedAfter: "30s" };

/** Pushers and the collectors of two pods. `collected`: objects that the pods deleted; a race with fewer than `least` goes on, for `longest` seconds in all. */
export async function raceOurs(options: {
  readonly pushers: number;
  readonly seconds: number;
  readonly least?: number;
  readonly longest?: number;
  readonly onProgress?: (line: string) => void;
}): Promise<RaceSummary & { readonly collected: number; readonly problems: readonly string[] }> {
  const cluster = await Cluster.start({ pods: 2, gc });
  try {
    const { least = 0 } = options;
    const enough = async () => (await cluster.collected()) >= least;
    const summary = await race({ ...options, enough, lease, once: true, url: () => cluster.url(), urls: () => cluster.urls() });
    const problems = await settled(cluster);
    return { ...summary, collected: await cluster.collected(), problems };
  } finally {
    await cluster.stop();
  }
}
