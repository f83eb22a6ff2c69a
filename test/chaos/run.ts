// `npm run test:chaos`: the long form. `-- --only kills,race` picks parts; `--rounds`, `--pushers` and `--seconds` make it shorter.
// Progress on stderr, a Markdown table on stdout, everything that was counted in test/chaos/results.json.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { disksFull } from "./disk-full.ts";
import { failovers } from "./failover.ts";
import { faults } from "./faults.ts";
import { killRounds } from "./kill-rounds.ts";
import { killDistribution } from "./kills-distribution.ts";
import { raceDistribution } from "./race-distribution.ts";
import { raceOurs } from "./race-ours.ts";
import { resultTable, type Part } from "./result-table.ts";
import { s3Errors } from "./s3-errors.ts";

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    rounds: { type: "string", default: "500" },
    pushers: { type: "string", default: "32" },
    seconds: { type: "string", default: "600" },
  },
});
const [rounds, pushers, seconds] = [values.rounds, values.pushers, values.seconds].map(Number) as [number, number, number];
const leastCollected = Math.trunc((seconds * 5) / 3);
/** Milliseconds. */
const mostRecovery = 5_000;
/** How many push while something is killed or fails. */
const pushersOfFaults = 4;
const failoverRounds = Math.ceil(rounds / 25);
const say = (part: string) => (line: string) => void process.stderr.write(`${new Date().toISOString()} ${part}: ${line}\n`);
const slowest = (rows: readonly { readonly recoveredAfter: number }[]) => Math.max(...rows.map(({ recoveredAfter }) => recoveredAfter));

type Outcome = Omit<Part, "part">;

const parts: Readonly<Record<string, () => Promise<Outcome>>> = {
  kills: async () => {
    const counted = await killRounds({ rounds, pushers: pushersOfFaults, onProgress: say("kills") });
    const { acknowledged, cut, problems } = counted;
    return {
      result: problems.length === 0 ? "held" : "BROKEN",
      did: `${rounds} × kill -9 of pods, PostgreSQL and S3`,
      seen: `${acknowledged} pushes acknowledged, ${cut} cut, ${problems.length} problems`,
      counted,
    };
  },
  "kills-distribution": () => killsOfDistribution("filesystem"),
  "kills-distribution-s3": () => killsOfDistribution("s3"),
  race: async () => {
    const counted = await raceOurs({ pushers, seconds, onProgress: say("race") });
    const { acknowledged, collected } = counted;
    const problems = counted.broken.length + counted.problems.length + counted.refusedInLease;
    return {
      result: problems === 0 && collected >= leastCollected ? "held" : "BROKEN",
      did: `${pushers} pushers race the collectors of two pods for ${seconds} s`,
      seen: `${acknowledged} manifests acknowledged, ${collected} objects collected, ${problems} problems`,
      counted,
    };
  },
  distribution: async () => {
    const counted = await raceDistribution({ pushers, seconds, onProgress: say("distribution") });
    const { acknowledged, collected, broken, refusedLater } = counted;
    return {
      result: "for comparison",
      did: `${pushers} pushers race \`garbage-collect\` of CNCF distribution for ${seconds} s`,
      seen: `${acknowledged} manifests acknowledged, ${collected} blobs collected, ${broken.length} broken, ${refusedLater} refused`,
      counted,
    };
  },
  faults: async () => {
    const modes = ["refuses", "stalls", "is slow"] as const;
    const counted = await faults({ hold: 10_000, pods: 2, modes, onProgress: say("faults") });
    return recovering(counted, slowest(counted.rows), {
      did: `${counted.rows.length} faults: one pod or both are cut off from database or bucket, or reach it slowly`,
      seen: `${counted.acknowledged} pushes acknowledged`,
    });
  },
  failover: async () => {
    const counted = await failovers({ rounds: failoverRounds, pushers: pushersOfFaults, onProgress: say("failover") });
    return recovering(counted, slowest(counted.rows), {
      did: `${failoverRounds} failovers to a synchronous standby, from a primary that was killed or left alone`,
      seen: `${counted.acknowledged} pushes and ${counted.deleted} deletes acknowledged`,
    });
  },
  "s3-errors": async () => {
    const counted = await s3Errors({ seconds: 30, pushers: pushersOfFaults, onProgress: say("s3-errors") });
    const done = Object.values(counted.faults).reduce((sum, times) => sum + times, 0);
    return recovering(counted, counted.recoveredAfter, {
      did: `S3 answers ${done} requests with errors, cut or not at all within 30 s`,
      seen: `${counted.acknowledged} pushes acknowledged, ${counted.failed} failed, ${counted.collected} objects collected`,
    });
  },
  "disk-full": async () => {
    const counted = await disksFull({ hold: 10_000, pushers: pushersOfFaults, onProgress: say("disk-full") });
    const refused = Object.values(counted.refused).reduce((sum, times) => sum + times, 0);
    return recovering(counted, slowest(counted.rows), {
      did: `disks of blobs and of the database fill up, ${counted.rows.length} times`,
      seen: `${counted.acknowledged} pushes acknowledged, ${refused} requests refused`,
    });
  },
};

async function killsOfDistribution(driver: "filesystem" | "s3"): Promise<Outcome> {
  const counted = await killDistribution({ rounds, pushers: pushersOfFaults, driver, onProgress: say(`distribution on ${driver}`) });
  const { acknowledged, cut, broken } = counted;
  return {
    result: "for comparison",
    did: `${rounds} × kill -9 of CNCF distribution on its ${driver} driver${driver === "s3" ? ", and of S3" : ""}`,
    seen: `${acknowledged} pushes acknowledged, ${cut} cut, ${broken.length} lost or broken`,
    counted,
  };
}

function recovering(
  counted: { readonly problems: readonly string[] },
  recovered: number,
  { did, seen }: Pick<Outcome, "did" | "seen">,
): Outcome {
  const { length } = counted.problems;
  const said = `${seen}, recovered within ${(recovered / 1000).toFixed(1)} s, ${length} problems`;
  return { result: length === 0 && recovered <= mostRecovery ? "held" : "BROKEN", did, seen: said, counted };
}

const chosen = values.only?.split(",") ?? Object.keys(parts);
const unknown = chosen.filter((name) => parts[name] === undefined);
if (unknown.length > 0) throw new Error(`--only ${unknown.join(",")}: there are ${Object.keys(parts).join(", ")}`);
const results: Part[] = [];
// Written after each part: a run of hours that is stopped has said what it saw.
for (const part of chosen) {
  results.push({ part, ...(await parts[part]!()) });
  const report = { at: new Date().toISOString(), parts: results };
  writeFileSync(join(import.meta.dirname, "results.json"), `${JSON.stringify(report, null, 2)}\n`);
}
process.stdout.write(resultTable(results));
process.exitCode = results.some(({ result }) => result === "BROKEN") ? 1 : 0;
