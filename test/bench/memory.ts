// `npm run bench -- memory`: how much memory a registry process takes at the most, under a container's limit, on a bucket: each kind of load from an
// idle process, with more at once than one process should get. Resident memory alone: the kernel's cache of files is not counted.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { stringify } from "yaml";

import { ControlClient } from "../../src/client/control-client.ts";
import { digestOf, randomBlob } from "../conformance/content.ts";
import { embeddedDatabase } from "../chaos/cluster-database.ts";
import { startDistribution } from "../support/distribution.ts";
import { upstreamSpec } from "../support/proxy.ts";
import { bucketOf, credentialsOf } from "../support/registry-process.ts";
import { startS3Service } from "../support/s3-service.ts";
import { processToken, startServing, type ServingProcess } from "../support/serving-process.ts";
import { limitedGroup } from "./limited.ts";
import { load } from "./load.ts";
import { resident } from "./resident.ts";

const program = resolve(import.meta.dirname, "../../dist/cli/main.js");
/** Bytes: that of `registry.resources` in the chart. */
const limit = 1024 ** 3;
const layerBytes = 64 * 1024 ** 2;
const atOnce = 32;

async function push(url: string, name: string, bytes: Uint8Array): Promise<{ readonly digest: string; readonly status: number | string }> {
  const digest = digestOf(bytes);
  const started = await fetch(`${url}/v2/${name}/blobs/uploads/`, { method: "POST" });
  if (started.status !== 202) return { digest, status: started.status };
  const location = new URL(started.headers.get("location") ?? "", url);
  location.searchParams.set("digest", digest);
  const headers = { "content-type": "application/octet-stream" };
  const put = await fetch(location, { method: "PUT", body: Buffer.from(bytes), headers }).catch((error: Error) => error);
  return { digest, status: put instanceof Error ? (put.cause instanceof Error ? put.cause.message : put.message) : put.status };
}

/** What a load ended with: how many requests by their status. */
const tally = (found: readonly (number | string)[]) =>
  [...Map.groupBy(found, (status) => status)].map(([status, all]) => `${all.length} × ${status}`).join(", ");

const pull = (url: string, path: string, connections: number, requests: number) => {
  const { hostname, port } = new URL(url);
  return load({ host: hostname, port: Number(port), path, connections, requests }).then(
    () => 200,
    (error: Error) => error.message.split("\r\n")[0] ?? "",
  );
};

export async function benchMemory(of: string | undefined): Promise<void> {
  if (of === "reporter") return (await import("./memory-reporter.ts")).benchReporter();
  if (of === "job") return (await import("./memory-job.ts")).benchJob();
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-bench-memory-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const database = await embeddedDatabase(join(folder, "postgres"));
  stack.defer(() => database.stop());
  const s3 = await startS3Service();
  stack.defer(() => s3.stop());
  const upstream = await startDistribution();
  stack.defer(() => upstream.stop());
  const group = await limitedGroup(limit);
  stack.defer(() => group.remove());

  const [settings, token] = [join(folder, "settings.yaml"), join(folder, "token")];
  await writeFile(token, processToken);
  const egress = { allowedCIDRs: ["127.0.0.1/32"] };
  const spool = { folder, lowWaterBytes: 0 };
  await writeFile(settings, stringify({ database: { url: database.url() }, storage: { s3: bucketOf(s3.settings) }, spool, egress }));
  const options = ["--listen", "127.0.0.1:0", "--allow-anonymous", "--settings", settings, "--admin-token-file", token];
  const command = [process.execPath, program, "registry", ...options];
  const registry: ServingProcess = await startServing(group.command(command), {
    ready: "Serving on ",
    env: credentialsOf(s3.settings),
    lastSignal: "SIGTERM",
  });
  stack.defer(async () => void (await registry.stop()));
  const control = new ControlClient({ url: registry.url, token: processToken });
  const spec = upstreamSpec(upstream.url, "up", { timeouts: { firstByte: "60s", idle: "60s" } });
  const resource = { kind: "Upstream" as const, name: "up", namespace: "default", generation: 1, revision: "r", suspend: false, spec };
  await control.publish({ revision: "r", base: null, resources: [resource], ledgers: {}, settled: [] });
  await control.close();

  const layers = Array.from({ length: atOnce }, () => randomBlob(layerBytes));
  const kept = layers.map((bytes) => digestOf(bytes));
  for (const bytes of layers) await push(upstream.url, "team/app", bytes);
  const loads = [
    ["started, 20 s later", () => sleep(20_000)],
    [
      `${atOnce} pushes of 64 MiB at once`,
      async () => (await Promise.all(layers.map((bytes) => push(registry.url, "own/app", bytes)))).map(({ status }) => status),
    ],
    [
      `${atOnce} pulls of different 64 MiB at once`,
      () => Promise.all(kept.map((digest) => pull(registry.url, `/v2/own/app/blobs/${digest}`, 1, 4))),
    ],
    ["256 pulls of the same 64 MiB at once", async () => [await pull(registry.url, `/v2/own/app/blobs/${kept[0]}`, 256, 256)]],
    [
      `${atOnce} layers of 64 MiB from an upstream at once`,
      () => Promise.all(kept.map((digest) => pull(registry.url, `/v2/up/team/app/blobs/${digest}`, 2, 4))),
    ],
    ["a minute later", () => sleep(60_000)],
  ] as const;
  process.stdout.write("| load | at the most, MiB | right after, MiB | answers |\n|---|---|---|---|\n");
  for (const [name, work] of loads) {
    await resident(registry.pid);
    const answers = (await work()) ?? [];
    const { most, after } = await resident(registry.pid);
    process.stdout.write(`| ${name} | ${(most / 2 ** 20).toFixed(0)} | ${(after / 2 ** 20).toFixed(0)} | ${tally(answers)} |\n`);
  }
}
