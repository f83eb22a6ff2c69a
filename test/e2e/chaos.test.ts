// The short form of test/chaos: two pods on PostgreSQL and S3 are killed in every way there is, and race their collectors. Long: `npm run test:chaos`.

import { expect, test } from "vitest";

import { killRounds } from "../chaos/kill-rounds.ts";
import { raceOurs } from "../chaos/race-ours.ts";

const say = (line: string) => void process.stderr.write(`${line}\n`);

// With those of crash.test.ts, 25 rounds.
test(
  "kill -9 of pods, PostgreSQL and S3: nothing acknowledged is lost, and what is left behind is collected",
  { timeout: 1_800_000 },
  async () => {
    const rounds = 14;
    const { acknowledged, cut, deleted, kills, problems } = await killRounds({ rounds, pushers: 4, onProgress: say });
    expect(problems).toEqual([]);
    // Else the rounds tested nothing.
    expect(Object.values(kills)).toEqual([2, 2, 2, 2, 2, 2, 2]);
    expect(acknowledged).toBeGreaterThan(rounds);
    expect(cut).toBeGreaterThan(0);
    expect(deleted).toBeGreaterThan(0);
  },
);

test(
  "pushers race the collectors of two pods: nothing acknowledged breaks, nothing is refused inside its lease",
  { timeout: 1_800_000 },
  async () => {
    const least = 200;
    const { acknowledged, collected, refusedInLease, broken, problems } = await raceOurs({
      pushers: 8,
      seconds: 60,
      least,
      longest: 1_200,
      onProgress: say,
    });
    expect({ refusedInLease, broken, problems }).toEqual({ refusedInLease: 0, broken: [], problems: [] });
    expect(acknowledged).toBeGreaterThan(0);
    expect(collected).toBeGreaterThanOrEqual(least);
  },
);
