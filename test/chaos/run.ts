// `npm run test:chaos`: the long form. `-- --only kills,race` picks parts; `--rounds`, `--pushers` and `--seconds` make it shorter.
// Progress on stderr, a table on stdout, everything that was counted in test/chaos/results.json.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { faults } from "./faults.ts";
import { killRounds } from "./kill-rounds.ts";
import { raceDistribution } from "./race-distribution.ts";
import { raceOurs } from "./race-ours.ts";

interface Row {
  readonly part: string;
  readonly result: "held" | "BROKEN" | "for comparison";
  readonly seen: string;
  readonly counted: unknown;
}

const { values } = parseArgs({
  options: {
    only: { type: "string", default: "kills,race,distribution,faults" },
    rounds: { type: "string", default: "500" },
    pushers: { type: "string", default: "32" },
    seconds: { type: "string", default: "600" },
  },
});
const [rounds, pushers, seconds] = [values.rounds, values.pushers, values.seconds].map(Number) as [number, number, number];
const leastCollected = Math.trunc((seconds * 5) / 3);
/** Milliseconds. */
const mostRecovery = 5_000;
const say = (part: string) => (line: string) => void process.stderr.write(`${new Date().toISOString()} ${part}: ${line}\n`);

const parts: Readonly<Record<string, () => Promise<Row>>> = {
  kills: async () => {
    const counted = await killRounds({ rounds, pushers: 4, onProgress: say("kills") });
    const seen = `${rounds} rounds of kill -9, ${counted.acknowledged} pushes acknowledged, ${counted.cut} cut, ${counted.problems.length} problems`;
    return { part: "kills", result: counted.problems.length === 0 ? "held" : "BROKEN", seen, counted };
  },
  race: async () => {
    const counted = await raceOurs({ pushers, seconds, onProgress: say("race") });
    const problems = counted.broken.length + counted.problems.length + counted.refusedInLease;
    const seen = `${counted.acknowledged} manifests acknowledged, ${counted.collected} objects collected, ${problems} problems`;
    return { part: "race", result: problems === 0 && counted.collected >= leastCollected ? "held" : "BROKEN", seen, counted };
  },
  faults: async () => {
    const counted = await faults({ hold: 10_000, onProgress: say("faults") });
    const slowest = Math.max(...counted.rows.map(({ recoveredAfter }) => recoveredAfter));
    const seen = `${counted.rows.length} faults, ${counted.acknowledged} pushes acknowledged, recovered within ${slowest} ms, ${counted.problems.length} problems`;
    return { part: "faults", result: counted.problems.length === 0 && slowest <= mostRecovery ? "held" : "BROKEN", seen, counted };
  },
  distribution: async () => {
    const counted = await raceDistribution({ pushers, seconds, onProgress: say("distribution") });
    const seen = `${counted.acknowledged} manifests acknowledged, ${counted.collected} blobs collected, ${counted.broken.length} broken, ${counted.refusedLater} refused`;
    return { part: "distribution", result: "for comparison", seen, counted };
  },
};

const chosen = values.only.split(",");
const unknown = chosen.filter((name) => parts[name] === undefined);
if (unknown.length > 0) throw new Error(`--only ${unknown.join(",")}: there are ${Object.keys(parts).join(", ")}`);
const rows: Row[] = [];
for (const name of chosen) rows.push(await parts[name]!());
for (const { part, result, seen } of rows) process.stdout.write(`${part.padEnd(14)}${result.padEnd(16)}${seen}\n`);
writeFileSync(join(import.meta.dirname, "results.json"), `${JSON.stringify({ at: new Date().toISOString(), rows }, null, 2)}\n`);
process.exitCode = rows.some(({ result }) => result === "BROKEN") ? 1 : 0;
