// `npm run bench -- collect [tags] [blobs]`: what it costs the database to delete and to collect (docs/design/performance.md, rows 11 and 12).
// A repository of so many tags (100,000), each of an image with so many blobs of its own (10). First 1,000 tags are deleted one by one under a
// load of pulls, five times with as long a time without before and after; then a RetentionPolicy prunes what is left, and the collector
// takes everything to the last row. Processor seconds are those of PostgreSQL's processes. Nothing is asserted.

import { readFile, writeFile } from "node:fs/promises";
import { mkdtemp, mkdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { ControlClient } from "../../src/client/control-client.ts";
import { pushImage } from "../support/images.ts";
import { startStandalone, type Standalone } from "../support/standalone.ts";
import { makeImages } from "./bulk.ts";
import { longestTransaction, watchDatabase, type WatchedDatabase } from "./database.ts";
import { pullWhile, type Latencies, type PullLoad } from "./latencies.ts";

const say = (text: string) => process.stderr.write(`${text}\n`);
const tell = (text: string) => process.stdout.write(`${text}\n`);
const repository = "bulk/app";
const deletedByName = 1_000;
const rounds = 5;

const settings = `
gc:
  trashFor: 0s
  doomDelay: 0s
  interval: 1s
  brake: { percent: 100 }
backup: { interval: 0s }
`;
const policy = `
apiVersion: wharfinger.dev/v1alpha1
kind: RetentionPolicy
metadata: { name: bulk }
spec:
  repositories: { include: ["bulk/**"] }
  action: Delete
  keep: [{ name: none, tags: ^keep-nothing$ }]
  untagged: { keepFor: 0s }
  limits: { maxDeletePercent: 100 }
  schedule: "0 0 1 1 *"
`;

export async function benchCollect([tags = 100_000, blobs = 10]: readonly number[]): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-bench-"));
  const files = { config: join(folder, "config"), settings: join(folder, "settings.yaml") };
  await mkdir(files.config);
  await writeFile(files.settings, settings);
  await writeFile(join(files.config, "retention.yaml"), policy);
  const server = await startStandalone(files);
  const token = (await readFile(join(server.data, "admin-token"), "utf8")).trim();
  const control = new ControlClient({ url: server.url, token });
  const database = await watchDatabase(server.data);
  try {
    await pushImage({ reference: `${new URL(server.url).host}/bench/app:v1`, content: "bench" });
    const load: PullLoad = { url: `${server.url}/v2/bench/app/manifests/v1`, connections: 8, rate: 400 };
    say(`making ${tags} tags and ${tags * blobs} blobs`);
    await makeImages(database.client, { repository, tags, blobs });
    // Of fewer tags the rounds would be too short to say anything.
    if (tags >= 10 * deletedByName) await deleteByName(server, database, { token, load });
    await prune(control, database, { load, blobs });
  } finally {
    await control.close();
    await database.close();
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

interface DeletedByName {
  readonly token: string;
  readonly load: PullLoad;
}

/** Each round A/B/A: pulls alone, pulls beside the deletions, pulls alone. */
async function deleteByName({ url }: Standalone, database: WatchedDatabase, { token, load }: DeletedByName): Promise<void> {
  const each = deletedByName / rounds;
  const ratios: number[] = [];
  const most: number[] = [];
  let seconds = 0;
  for (let round = 0; round < rounds; round++) {
    const names = Array.from({ length: each }, (_, index) => `v${round * each + index + 1}`);
    const remove = async () => {
      for (const name of names) {
        const headers = { authorization: `Bearer ${token}` };
        const answer = await fetch(`${url}/v2/${repository}/manifests/${name}`, { method: "DELETE", headers });
        if (answer.status !== 202) throw new Error(`DELETE was answered ${answer.status}: ${await answer.text()}`);
      }
    };
    const alone = () => pullWhile(load, sleep(4_000));
    const before = await alone();
    const used = await database.seconds();
    const beside = await pullWhile(load, remove());
    seconds += (await database.seconds()) - used;
    const after = await alone();
    ratios.push(beside.latencies.p99 / ((before.latencies.p99 + after.latencies.p99) / 2));
    most.push(beside.latencies.most);
    say(
      `deletes, round ${round + 1}: ${formatted(before.latencies)} | beside: ${formatted(beside.latencies)} | ${formatted(after.latencies)}`,
    );
  }
  const ratio = ratios.toSorted((a, b) => a - b)[Math.floor(rounds / 2)] ?? 0;
  tell(
    `DELETE of ${each * rounds} tags by name under load: p99 of pulls ${percent(ratio - 1)} (median of ${rounds} A/B/A), ` +
      `slowest pull ${Math.max(...most).toFixed(0)} ms, ${((seconds / (each * rounds)) * 1000).toFixed(2)} ms of database CPU a tag with what pulls and rounds cost`,
  );
}

async function prune(
  control: ControlClient,
  database: WatchedDatabase,
  { load, blobs }: { readonly load: PullLoad; readonly blobs: number },
): Promise<void> {
  const idle = await idleSeconds(database, load);
  const started = performance.now();
  const before = await database.seconds();
  const plan = await control.plan("default/bulk");
  const planned = await database.seconds();
  say(`planned: ${plan.totals.deleted} to delete, ${(planned - before).toFixed(1)} s of database CPU, ${since(started)}`);
  const work = async () => {
    const applied = await control.apply("default/bulk", { plan: plan.id, approve: true });
    const pruned = await database.seconds();
    say(`pruned ${applied.deleted.length} tags, ${(pruned - planned).toFixed(1)} s of database CPU, ${since(started)}`);
    await collected(database);
    return { tags: applied.deleted.length, pruned };
  };
  const { longest, result } = await longestTransaction(database.client, pullWhile(load, work()));
  const { tags, pruned } = result.result;
  const after = await database.seconds();
  const seconds = after - before - (idle * (performance.now() - started)) / 1000;
  tell(
    `Prune of ${tags} tags and ${tags * blobs} blobs: ${((seconds / (tags * blobs)) * 1e6).toFixed(1)} µs of database CPU a blob ` +
      `(plan ${(planned - before).toFixed(1)} s, deletion ${(pruned - planned).toFixed(1)} s, collection ${(after - pruned).toFixed(1)} s, ` +
      `with ${idle.toFixed(3)} s/s for pulls taken off), longest transaction ${longest.milliseconds.toFixed(0)} ms (${longest.statement}), ${since(started)} in all; ` +
      `pulls meanwhile: ${formatted(result.latencies)}`,
  );
}

/** Database CPU a second that pulls and empty rounds of the collector cost. */
async function idleSeconds(database: WatchedDatabase, load: PullLoad): Promise<number> {
  const before = await database.seconds();
  await pullWhile(load, sleep(10_000));
  return ((await database.seconds()) - before) / 10;
}

/** Until the collector has nothing before it. Asked on our own connection: a status counts every object, and would cost what it looks at. */
async function collected({ client }: WatchedDatabase): Promise<void> {
  let before = 0;
  for (let told = 0; ; await sleep(3_000)) {
    const { rows } = await client.query<{ due: boolean; objects: number }>(
      "SELECT EXISTS (SELECT FROM gc_queue WHERE review_after <= now()) AS due, (SELECT count(*) FROM objects)::int AS objects",
    );
    const { due, objects } = rows[0]!;
    if (!due && objects < 100) return;
    if (performance.now() - told < 10_000) continue;
    told = performance.now();
    say(`${objects} objects are left${objects === before ? `, and nothing went: ${await whatWaits(client)}` : ""}`);
    before = objects;
  }
}

/** For the one who looks why nothing goes: objects by state, and when the first of them is tried again. */
async function whatWaits(client: WatchedDatabase["client"]): Promise<string> {
  const { rows } = await client.query<{ said: string }>(
    `SELECT format('%s %s, again in %s', count(*), state, min(sweep_after) - now()) AS said FROM objects GROUP BY state
     UNION ALL SELECT format('%s in the queue, due in %s', count(*), min(review_after) - now()) FROM gc_queue
     UNION ALL SELECT format('paused: %s', detail) FROM gc_pauses`,
  );
  return rows.map(({ said }) => said).join("; ");
}

const formatted = ({ count, median, p99, most }: Latencies) =>
  `${count} pulls, median ${median.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, slowest ${most.toFixed(0)} ms`;
const percent = (ratio: number) => `${ratio >= 0 ? "+" : ""}${(ratio * 100).toFixed(0)} %`;
const since = (started: number) => `${((performance.now() - started) / 1000).toFixed(0)} s`;
