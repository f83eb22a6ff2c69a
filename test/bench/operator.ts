// `npm run bench -- operator [cold] [change] [idle] [faults] [memory]`: what the whole operator does and costs on a real API server
// (docs/explanation/performance.md). All of them without a word; `idle` looks for ten minutes. Nothing is asserted. Beside each figure stands the load of
// the machine: the wall clock says something only where it is below the number of processors.

import { readFile } from "node:fs/promises";
import { loadavg } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";

import { pushImage } from "../support/images.ts";
import { answerTo } from "../support/eventually.ts";
import { startDistribution } from "../support/distribution.ts";
import { processSeconds, treeUsage } from "./cpu.ts";
import { OperatorCluster } from "./operator-cluster.ts";

const tell = (text: string) => process.stdout.write(`${text} [load ${loadavg()[0]?.toFixed(1)}]\n`);
const seconds = (since: number) => (performance.now() - since) / 1_000;
const mebibytes = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`;
const median = (numbers: readonly number[]) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;

const offline = (prefix: string) => ({ url: `https://${prefix}.example.org`, prefix, offline: true });
const access = (index: number) => ({
  subjects: [{ kind: "User", name: `user-${index}` }],
  repositories: { include: [`team-${index}/**`] },
  actions: ["pull", "push"],
});

/** Half of them Upstreams, half AccessPolicies. */
async function fill(cluster: OperatorCluster, count: number): Promise<void> {
  const jobs = Array.from({ length: count / 2 }, (_, index) => index);
  const work = async () => {
    for (let index = jobs.pop(); index !== undefined; index = jobs.pop()) {
      await cluster.create("Upstream", `upstream-${index}`, offline(`upstream-${index}`));
      await cluster.create("AccessPolicy", `access-${index}`, access(index));
    }
  };
  await Promise.all(Array.from({ length: 8 }, work));
}

async function memoryOf(pid: number): Promise<string> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  const peak = Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1] ?? 0) * 1_024;
  const { memoryBytes } = await treeUsage(pid);
  return `${mebibytes(peak)} at most (VmHWM), ${mebibytes(memoryBytes)} now (PSS, with git)`;
}

async function cold(): Promise<void> {
  await using cluster = await OperatorCluster.start();
  await fill(cluster, 500);
  cluster.host.faults.pushTakes = 1_500;
  const begun = performance.now();
  const { pid } = await cluster.startOperator();
  const took = await cluster.readyWithin({ Upstream: 250, AccessPolicy: 250 }, begun);
  const { seconds: cpu } = await treeUsage(pid);
  const commits = cluster.repository.git("rev-list", "--count", "wharfinger");
  tell(
    `cold start: 500 resources Ready after ${took.toFixed(1)} s (60 asked for), ${commits} commits in ${cluster.host.pushes} pushes of 1.5 s, ` +
      `${cpu.toFixed(1)} s of processor; ${await memoryOf(pid)}`,
  );
}

async function change(): Promise<void> {
  await using cluster = await OperatorCluster.start();
  const upstream = await startDistribution();
  try {
    await pushImage({ reference: `${upstream.host}/acme/app:v1`, content: "theirs" });
    await cluster.startOperator();
    await cluster.create("Upstream", "cgr", { url: upstream.url, insecure: true, prefix: "cgr" });
    await cluster.readyWithin({ Upstream: 1 });
    const times: number[] = [];
    for (let round = 0; round < 20; round++) {
      const name = `round-${round}.example`;
      const begun = performance.now();
      await cluster.patch("Upstream", "cgr", { hosts: [name] });
      const answers = cluster.registries.urls().map((url) =>
        answerTo(`${url} serves ${name}`, async () => {
          const answer = await fetch(`${url}/v2/acme/app/manifests/v1?ns=${name}`);
          await answer.arrayBuffer();
          return answer.status === 200 ? true : undefined;
        }),
      );
      await Promise.all(answers);
      times.push(seconds(begun));
      await cluster.readyWithin({ Upstream: 1 });
    }
    const most = Math.max(...times).toFixed(2);
    tell(
      `a change of an Upstream is served by both registry processes after ${median(times).toFixed(2)} s, ${most} at most of 20 (4 asked for)`,
    );
  } finally {
    await upstream.stop();
  }
}

/** Writes that the API server was asked for since it started, by verb and collection. */
async function writes(cluster: OperatorCluster): Promise<ReadonlyMap<string, number>> {
  const { body } = await cluster.api.send<string>("GET", "/metrics");
  const found = new Map<string, number>();
  for (const [, labels = "", count] of body.matchAll(/^apiserver_request_total\{(.*)\} (\S+)$/gm)) {
    const {
      verb = "",
      resource = "",
      subresource = "",
    } = Object.fromEntries([...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, name = "", value = ""]) => [name, value]));
    if (/^(?:GET|LIST|WATCH|CONNECT)$/.test(verb)) continue;
    const what = `${verb} ${resource}${subresource === "" ? "" : `/${subresource}`}`;
    found.set(what, (found.get(what) ?? 0) + Number(count));
  }
  return found;
}

async function idle(minutes: number): Promise<void> {
  await using cluster = await OperatorCluster.start();
  await fill(cluster, 100);
  const { pid } = await cluster.startOperator();
  await cluster.readyWithin({ Upstream: 50, AccessPolicy: 50 });
  await sleep(30_000); // the last word on Upstreams comes ten seconds later
  const look = async () => ({
    writes: await writes(cluster),
    head: cluster.repository.head(),
    asked: cluster.asked.count,
    fetches: cluster.host.requests.length,
    cpu: await processSeconds(pid),
  });
  const before = await look();
  await sleep(minutes * 60_000);
  const after = await look();
  const written = [...after.writes]
    .map(([what, count]) => [what, count - (before.writes.get(what) ?? 0)] as const)
    .filter(([, count]) => count > 0);
  const a = (count: number) => (count / minutes).toFixed(1);
  tell(
    `${minutes} minutes with nothing to do, 100 resources: writes of anybody ${JSON.stringify(Object.fromEntries(written))}, ` +
      `${before.head === after.head ? "no commit" : "COMMITS"}; a minute: ${a(after.asked - before.asked)} requests to the registry, ` +
      `${a(after.fetches - before.fetches)} to the Git host, ${((1_000 * (after.cpu - before.cpu)) / minutes).toFixed(0)} ms of processor with git`,
  );
}

async function faults(): Promise<void> {
  await using cluster = await OperatorCluster.start();
  await fill(cluster, 100);
  let starts = 0;
  const keeping = { over: false };
  const keep = async () => {
    // As a kubelet does: where it takes longer than the Lease lasts the operator ends, and begins again.
    for (; !keeping.over; starts++) await (await cluster.startOperator()).exited;
  };
  const kept = keep();
  await cluster.readyWithin({ Upstream: 50, AccessPolicy: 50 });
  let generation = 0;
  const converged = async (what: string, since: number) => {
    const before = starts;
    await cluster.patch("Upstream", "upstream-0", { cache: { tagTTL: `${++generation}m` } });
    await cluster.readyWithin({ Upstream: 50, AccessPolicy: 50 });
    const again = starts === before ? "" : "; the operator had begun again";
    tell(`${what}: a change is Ready ${seconds(since).toFixed(1)} s after it is over (30 asked for)${again}`);
  };
  cluster.hop.cut();
  await converged("watches cut", performance.now());
  cluster.hop.silence();
  await converged("connections that fall silent", performance.now());
  await cluster.api.restart();
  await converged("API server killed and started again", performance.now());
  await cluster.api.kill9();
  await sleep(3_000);
  await cluster.api.restart();
  await cluster.api.compact();
  await converged("API server away for three seconds more, and compaction", performance.now());
  keeping.over = true;
  await cluster.stopOperator();
  await kept;
}

async function memory(): Promise<void> {
  await using cluster = await OperatorCluster.start();
  await fill(cluster, 1_000);
  const { pid } = await cluster.startOperator();
  const took = await cluster.readyWithin({ Upstream: 500, AccessPolicy: 500 });
  tell(`memory with 1,000 resources, Ready after ${took.toFixed(1)} s: ${await memoryOf(pid)} (200 MiB asked for)`);
  await cluster.stopOperator();
  const again = await cluster.startOperator();
  await cluster.readyWithin({ Upstream: 500, AccessPolicy: 500 });
  await sleep(20_000);
  tell(`memory of the next start: ${await memoryOf(again.pid)}`);
}

const parts: Readonly<Record<string, () => Promise<void>>> = {
  cold,
  change,
  idle: () => idle(10),
  "idle-1": () => idle(1),
  faults,
  memory,
};

export async function benchOperator(named: readonly string[]): Promise<void> {
  const wanted = named.length === 0 ? ["cold", "change", "idle", "faults", "memory"] : named;
  for (const name of wanted) {
    const part = parts[name];
    if (part === undefined) throw new Error(`There is no ${name}: ${Object.keys(parts).join(", ")}`);
    await part();
  }
}
