// `npm run bench -- tls`: what TLS costs a pull, beside plain HTTP and beside distribution with TLS in the same run, as processor time of the server's
// whole process tree; and what HTTP/2 would cost, with servers of Node that answer from memory (tls-server.ts).

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { digestOf, randomBlob } from "../conformance/content.ts";
import { createAuthority, forServers, issue } from "../support/certificates.ts";
import { startDistribution } from "../support/distribution.ts";
import { send } from "../support/http.ts";
import { startServing, startSubcommand } from "../support/serving-process.ts";
import { treeUsage } from "./cpu.ts";
import { load, type LoadOptions } from "./load.ts";
import { streams } from "./streams.ts";

interface Server {
  readonly name: string;
  readonly url: string;
  readonly pid: number;
}

const rounds = 3;
const blob = randomBlob(64 * 1024 * 1024);
const type = "application/vnd.oci.image.manifest.v1+json";
const manifest = JSON.stringify({
  schemaVersion: 2,
  mediaType: type,
  config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: digestOf(blob), size: blob.length },
  layers: [],
});

const manifestPath = `/v2/bench/app/manifests/${digestOf(manifest)}`;

const workloads = [
  {
    name: "manifest GET by digest, 64 connections, µs",
    path: manifestPath,
    connections: 64,
    requests: 5_000,
    unit: "request",
  },
  {
    name: "the same, a connection each, µs",
    path: manifestPath,
    connections: 8,
    requests: 500,
    each: true,
    unit: "request",
  },
  {
    name: "blob GET 64 MiB, 4 connections, s/GiB",
    path: `/v2/bench/app/blobs/${digestOf(blob)}`,
    connections: 4,
    requests: 16,
    unit: "GiB",
  },
] as const;

async function push(url: string, ca: string): Promise<void> {
  const start = await send(url, "POST", "/v2/bench/app/blobs/uploads/", { ca });
  const location = new URL(start.headers.location ?? "", url);
  location.searchParams.set("digest", digestOf(blob));
  const put = await send(url, "PUT", location.pathname + location.search, { body: blob, ca });
  const named = await send(url, "PUT", "/v2/bench/app/manifests/v1", { body: manifest, headers: { "content-type": type }, ca });
  if (put.status !== 201 || named.status !== 201) throw new Error(`${url}: ${put.status}, ${named.status}`);
}

/** Processor seconds of `work`. */
async function cpuOf(pid: number, work: () => Promise<unknown>): Promise<number> {
  const before = (await treeUsage(pid)).seconds;
  await work();
  return (await treeUsage(pid)).seconds - before;
}

async function measure({ url, pid }: Server, workload: (typeof workloads)[number], ca: string): Promise<number> {
  const { hostname, port, protocol } = new URL(url);
  const options: LoadOptions = {
    ...workload,
    host: hostname,
    port: Number(port),
    headers: { accept: type },
    ...(protocol === "https:" ? { ca } : {}),
  };
  const seconds = await patiently(async () => {
    await load({ ...options, requests: Math.ceil(workload.requests / 10) });
    return cpuOf(pid, () => load(options));
  });
  return workload.unit === "GiB" ? seconds / ((workload.requests * blob.length) / 2 ** 30) : (seconds / workload.requests) * 1e6;
}

/** Beside much other work a database may be asked in vain, and a pull refused: then it is measured again. */
async function patiently<T>(work: () => Promise<T>): Promise<T> {
  for (let left = 10; ; left--) {
    try {
      return await work();
    } catch (error) {
      if (left === 0) throw error;
    }
  }
}

const median = (numbers: readonly number[]) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;

export async function benchTls(): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-bench-tls-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  await createAuthority(folder, "bench");
  const authority = await readFile(join(folder, "ca.crt"), "utf8");
  const pair = await issue(folder, { name: "registry", extensions: forServers("IP:127.0.0.1") });
  const files = [join(folder, "tls.crt"), join(folder, "tls.key")] as const;
  await Promise.all([writeFile(files[0], pair.cert), writeFile(files[1], pair.key)]);
  const ours = async (name: string, args: readonly string[]): Promise<Server> => {
    const data = ["--data", join(folder, name), "--allow-anonymous"];
    const started = await startSubcommand("registry", {
      settings: {},
      tokenOption: "--admin-token-file",
      args: [...data, ...args],
      ready: "Serving on ",
      lastSignal: "SIGTERM",
    });
    stack.defer(async () => void (await started.stop()));
    return { name, url: started.url, pid: started.pid };
  };
  const peer = await startDistribution({ tls: { ...pair, authority } });
  stack.defer(() => peer.stop());
  const servers = [
    await ours("plain", []),
    await ours("TLS", ["--tls-certificate", files[0], "--tls-key", files[1]]),
    { name: "distribution, TLS", url: peer.url, pid: peer.pid },
  ];
  for (const { url } of servers) await push(url, authority);
  process.stdout.write(`| CPU | ${servers.map(({ name }) => name).join(" | ")} |\n|---|---|---|---|\n`);
  for (const workload of workloads) {
    const samples = servers.map(() => [] as number[]);
    for (let round = 0; round < rounds; round++)
      for (const [index, server] of servers.entries()) samples[index]?.push(await measure(server, workload, authority));
    const cells = samples.map((found) => `${median(found).toFixed(2)} (${found.map((one) => one.toFixed(2)).join(", ")})`);
    process.stdout.write(`| ${workload.name} | ${cells.join(" | ")} |\n`);
  }

  process.stdout.write("\n| Node alone, TLS: CPU | HTTP/1.1 | HTTP/2 |\n|---|---|---|\n");
  for (const [path, requests, of] of [
    ["/small", 10_000, "µs a request of 1 KiB, 64 at once"],
    ["/large", 16, "s/GiB, 64 MiB each, 4 at once"],
  ] as const) {
    const cells: string[] = [];
    for (const version of ["1", "2"]) {
      const script = join(import.meta.dirname, "tls-server.ts");
      const server = await startServing([process.execPath, script, version, ...files], { ready: "Serving on " });
      const ask = () => streams({ url: server.url, path, requests, atOnce: path === "/small" ? 64 : 4, ca: authority, version });
      const found: number[] = [];
      for (let round = 0; round < rounds; round++) {
        const seconds = await cpuOf(server.pid, ask);
        found.push(path === "/small" ? (seconds / requests) * 1e6 : seconds / ((requests * 64) / 1024));
      }
      cells.push(`${median(found).toFixed(2)} (${found.map((one) => one.toFixed(2)).join(", ")})`);
      await server.kill9();
    }
    process.stdout.write(`| ${of} | ${cells.join(" | ")} |\n`);
  }
}
