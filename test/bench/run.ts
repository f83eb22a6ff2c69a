// `npm run bench`: what a request costs the server, beside CNCF distribution in the same run. Processor seconds of the whole process tree
// (ours with its PostgreSQL) come first: they hold on a noisy machine. Nothing here is asserted; see docs/design/performance.md.
// `npm run bench -- collect`: deleting and collecting alone (collect.ts).
// `npm run bench -- logins`: pulls by those who show who they are (logins.ts).
// `npm run bench -- tls`: what TLS costs (tls.ts).
// `npm run bench -- memory [reporter|job]`: how much a registry process takes under load (memory.ts), a reporter, and a tag-sync job.
// `npm run bench -- requests`: what is asked of PostgreSQL, the bucket and an upstream, by nothing and by a rollout (requests.ts).
// `npm run bench -- said`: how soon a process says what is in its way (said.ts).
// `npm run bench -- operator`: the whole operator on an API server (operator.ts).

import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { startDistribution } from "../support/distribution.ts";
import { pushImage } from "../support/images.ts";
import { startStandalone } from "../support/standalone.ts";
import { treeUsage } from "./cpu.ts";
import { load } from "./load.ts";

interface Server {
  readonly name: string;
  readonly url: string;
  readonly pid: number;
}

interface Row {
  readonly workload: string;
  readonly server: string;
  readonly cpu: number;
  readonly unit: string;
  readonly rate: number;
  readonly rateUnit: string;
}

const blobBytes = 256 * 1024 * 1024;
const rounds = 3;
/** `npm run bench -- manifests`, or `-- blobs`: those alone. Without the plural, if it is one. */
const asked = process.argv[2];
/** `manifests` is of every workload whose name begins with manifest. */
const only = asked?.replace(/s$/, "");
const say = (text: string) => process.stderr.write(`${text}\n`);

/** The same bytes for every server. */
const blob = Buffer.alloc(blobBytes, createHash("sha512").update("wharfinger bench").digest());
const blobDigest = `sha256:${createHash("sha256").update(blob).digest("hex")}`;

async function pushBlob(url: string): Promise<void> {
  const start = await fetch(`${url}/v2/bench/app/blobs/uploads/`, { method: "POST" });
  const location = new URL(start.headers.get("location") ?? "", url);
  location.searchParams.set("digest", blobDigest);
  const put = await fetch(location, { method: "PUT", body: blob, headers: { "content-type": "application/octet-stream" } });
  if (put.status !== 201) throw new Error(`PUT of the blob: ${put.status} ${await put.text()}`);
}

async function measure(
  server: Server,
  workload: { name: string; path: string; connections: number; requests: number },
): Promise<Omit<Row, "workload">> {
  const { hostname, port } = new URL(server.url);
  const accept = "application/vnd.oci.image.manifest.v1+json";
  const options = { host: hostname, port: Number(port), path: workload.path, headers: { accept }, connections: workload.connections };
  await load({ ...options, requests: Math.ceil(workload.requests / 10) }); // warm
  const before = await treeUsage(server.pid);
  const result = await load({ ...options, requests: workload.requests });
  const cpu = (await treeUsage(server.pid)).seconds - before.seconds;
  const gibibytes = result.bytes / 2 ** 30;
  return workload.name.startsWith("manifest")
    ? {
        server: server.name,
        cpu: (cpu / workload.requests) * 1e6,
        unit: "µs CPU/request",
        rate: workload.requests / result.seconds,
        rateUnit: "requests/s",
      }
    : { server: server.name, cpu: cpu / gibibytes, unit: "CPU s/GiB", rate: gibibytes / result.seconds, rateUnit: "GiB/s" };
}

/** The whole blob in one PUT. It is there already; a server has to receive and hash it all the same. */
async function measurePush(server: Server): Promise<Omit<Row, "workload">> {
  const before = await treeUsage(server.pid);
  const started = performance.now();
  await pushBlob(server.url);
  const seconds = (performance.now() - started) / 1000;
  const cpu = (await treeUsage(server.pid)).seconds - before.seconds;
  const gibibytes = blobBytes / 2 ** 30;
  return { server: server.name, cpu: cpu / gibibytes, unit: "CPU s/GiB", rate: gibibytes / seconds, rateUnit: "GiB/s" };
}

const median = (numbers: readonly number[]) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;

async function main(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-bench-"));
  const config = join(folder, "config");
  await mkdir(config);
  const ours = await startStandalone({ config, build: true });
  const peer = await startDistribution();
  try {
    await sleep(30_000); // until start-up is over and its garbage is gone
    const idle = await treeUsage(ours.pid);
    const idlePeer = await treeUsage(peer.pid);
    const servers: Server[] = [
      { name: "wharfinger", url: ours.url, pid: ours.pid },
      { name: "distribution 3.1.2", url: peer.url, pid: peer.pid },
    ];
    for (const { url } of servers) {
      await pushImage({ reference: `${new URL(url).host}/bench/app:v1`, content: "bench" });
      await pushBlob(url);
    }
    const pulls = [
      { name: "manifest GET by tag, 64 connections", path: "/v2/bench/app/manifests/v1", connections: 64, requests: 20_000 },
      { name: "manifest GET by tag, 1 connection", path: "/v2/bench/app/manifests/v1", connections: 1, requests: 4000 },
      { name: "blob GET 256 MiB, 4 connections", path: `/v2/bench/app/blobs/${blobDigest}`, connections: 4, requests: 16 },
      { name: "blob GET 256 MiB, 1 connection", path: `/v2/bench/app/blobs/${blobDigest}`, connections: 1, requests: 8 },
    ];
    const workloads = [
      ...pulls.map((pull) => ({ name: pull.name, run: (server: Server) => measure(server, pull) })),
      { name: "blob push 256 MiB, whole", run: measurePush },
    ].filter(({ name }) => only === undefined || name.startsWith(only));
    const rows: Row[] = [];
    for (const workload of workloads) {
      const samples = new Map<string, Omit<Row, "workload">[]>();
      for (let round = 0; round < rounds; round++) {
        for (const server of servers) {
          say(`${workload.name}: ${server.name}, round ${round + 1} of ${rounds}`);
          samples.set(server.name, [...(samples.get(server.name) ?? []), await workload.run(server)]);
        }
      }
      for (const of of samples.values()) {
        const [first] = of;
        if (first !== undefined)
          rows.push({ ...first, workload: workload.name, cpu: median(of.map((s) => s.cpu)), rate: median(of.map((s) => s.rate)) });
      }
    }
    const mebibytes = (bytes: number) => Math.round(bytes / 2 ** 20);
    const memory = { wharfinger: mebibytes(idle.memoryBytes), processes: idle.processes, distribution: mebibytes(idlePeer.memoryBytes) };
    await writeFile(join(import.meta.dirname, "results.json"), `${JSON.stringify({ rows, idleMemoryMiB: memory }, null, 2)}\n`);
    process.stdout.write("| workload | server | CPU | rate |\n|---|---|---|---|\n");
    for (const row of rows)
      process.stdout.write(
        `| ${row.workload} | ${row.server} | ${row.cpu.toFixed(2)} ${row.unit} | ${row.rate.toFixed(2)} ${row.rateUnit} |\n`,
      );
    process.stdout.write(
      `\nIdle memory (PSS): wharfinger ${memory.wharfinger} MiB in ${memory.processes} processes with PostgreSQL, distribution ${memory.distribution} MiB.\n`,
    );
  } finally {
    await ours.stop();
    await peer.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

if (only === "collect") await (await import("./collect.ts")).benchCollect(process.argv.slice(3).map(Number));
else if (asked === "logins") await (await import("./logins.ts")).benchLogins();
else if (asked === "requests") await (await import("./requests.ts")).benchRequests();
else if (asked === "said") await (await import("./said.ts")).benchSaid();
else if (asked === "tls") await (await import("./tls.ts")).benchTls();
else if (only === "memory") await (await import("./memory.ts")).benchMemory(process.argv[3]);
else if (only === "operator") await (await import("./operator.ts")).benchOperator(process.argv.slice(3));
else await main();
