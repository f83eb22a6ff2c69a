// `npm run bench -- requests`: what two registry processes ask of PostgreSQL, the bucket and an upstream: when nothing happens, and when 100 nodes pull
// one image that nobody has pulled before, and once more. `npm run bench -- requests 10`: ten minutes with nothing to do, in place of three.

import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { hashSync } from "bcryptjs";
import { stringify } from "yaml";

import { ControlClient } from "../../src/client/control-client.ts";
import { acceptedManifestTypes } from "../../src/domain/media-types.ts";
import { startDistribution } from "../support/distribution.ts";
import { startFaultyHop, type FaultyHop } from "../support/faulty-hop.ts";
import { pushImage } from "../support/images.ts";
import { startPostgresServer } from "../support/postgres-server.ts";
import { upstreamSpec } from "../support/proxy.ts";
import { bucketOf, credentialsOf } from "../support/registry-process.ts";
import { startS3Service } from "../support/s3-service.ts";
import { processToken, startServing, type ServingProcess } from "../support/serving-process.ts";
import { treeUsage } from "./cpu.ts";

const program = resolve(import.meta.dirname, "../../dist/cli/main.js");
const nodes = 100;
const idleMinutes = Number(process.argv[3] ?? 3);
/** Resources beside those of the image, as an installation has them. */
const others = 1_000;

/** What a node's runtime asks of a registry that wants a login: once without it, for a token, and then for the image. */
async function pull(url: string, login: string): Promise<void> {
  const path = `${url}/v2/up/team/app`;
  const accept = acceptedManifestTypes.join(", ");
  const refused = await fetch(`${path}/manifests/v1`, { method: "HEAD", headers: { accept } });
  if (refused.status !== 401) throw new Error(`a pull without a login was answered ${refused.status}`);
  const given = await fetch(`${url}/token?service=registry.example.com&scope=repository:up/team/app:pull`, {
    headers: { authorization: login },
  });
  if (given.status !== 200) throw new Error(`a token was answered ${given.status}: ${await given.text()}`);
  const { token } = (await given.json()) as { token: string };
  const headers = { accept, authorization: `Bearer ${token}` };
  const read = async (at: string, method = "GET") => {
    const answer = await fetch(`${path}/${at}`, { method, headers });
    const body = Buffer.from(await answer.arrayBuffer());
    if (answer.status !== 200) throw new Error(`${method} ${at}: ${answer.status} ${body.toString()}`);
    return { answer, body };
  };
  const digest = (await read("manifests/v1", "HEAD")).answer.headers.get("docker-content-digest");
  const manifest = JSON.parse((await read(`manifests/${digest}`)).body.toString()) as {
    config: { digest: string };
    layers: { digest: string }[];
  };
  await Promise.all([manifest.config, ...manifest.layers].map(({ digest: blob }) => read(`blobs/${blob}`)));
}

const kinds = (lines: readonly string[]) =>
  [...Map.groupBy(lines.map(kindOf), (kind) => kind)]
    .map(([kind, all]) => `${all.length} ${kind}`)
    .sort()
    .join(", ");
const kindOf = (line: string) =>
  line
    .replace(/\?.*/, (query) => /[?&](uploads|uploadId|list-type|partNumber|tagging|delete)\b/.exec(query)?.[0] ?? "")
    .replaceAll(/sha256[:/-][0-9a-f]+|[0-9a-f]{2}\/[0-9a-f-]{16,}|[0-9a-f-]{30,}|\d{8}t\d{6}z-\w+|\w+\.copy\.gz/g, "…");

export async function benchRequests(): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-bench-requests-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const postgres = await startPostgresServer({ settings: { shared_preload_libraries: "pg_stat_statements" } });
  stack.defer(() => postgres.stop());
  await postgres.run("CREATE DATABASE registry");
  const ask = <Row>(sql: string) => postgres.run<Row>(sql, { database: "registry" });
  await ask("CREATE EXTENSION pg_stat_statements");
  const s3 = await startS3Service();
  stack.defer(() => s3.stop());
  const bucket = await startFaultyHop(s3.settings.endpoint ?? "");
  stack.defer(() => bucket.stop());
  const upstream = await startDistribution();
  stack.defer(() => upstream.stop());
  const source = await startFaultyHop(upstream.url);
  stack.defer(() => source.stop());
  await pushImage({ reference: `${upstream.host}/team/app:v1`, content: "app", noise: 8 * 1024 ** 2 });

  const [token, secrets] = [join(folder, "token"), join(folder, "secrets")];
  await writeFile(token, processToken);
  await mkdir(secrets);
  await writeFile(join(secrets, "default_wharfinger-users_htpasswd"), `nodes:${hashSync("password", 10)}\n`);
  const settings = {
    externalURL: "https://registry.example.com",
    access: { anonymousPull: "None" },
    database: { url: postgres.url("registry") },
    storage: { s3: { ...bucketOf(s3.settings), endpoint: bucket.url } },
    egress: { allowedCIDRs: ["127.0.0.1/32"] },
  };
  const processes: ServingProcess[] = [];
  for (const index of [0, 1]) {
    const at = join(folder, `settings-${index}.yaml`);
    await writeFile(at, stringify({ ...settings, spool: { folder: join(folder, `spool-${index}`), lowWaterBytes: 0 } }));
    const args = ["registry", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--settings", at, "--secrets", secrets];
    const started = await startServing([process.execPath, program, ...args, "--admin-token-file", token], {
      ready: "Serving on ",
      env: credentialsOf(s3.settings),
      lastSignal: "SIGTERM",
    });
    stack.defer(async () => void (await started.stop()));
    processes.push(started);
  }
  const control = new ControlClient({ url: processes[0]!.url, token: processToken });
  stack.defer(() => control.close());
  const common = { namespace: "default", generation: 1, revision: "r", suspend: false };
  const spec = upstreamSpec(source.url, "up", { timeouts: { firstByte: "60s", idle: "60s" } });
  const rights = { subjects: [{ kind: "User", name: "nodes" }], repositories: { include: ["up/**"] }, actions: ["pull"] };
  await control.publish({
    revision: "r",
    base: null,
    resources: [
      { ...common, kind: "Upstream", name: "up", spec },
      { ...common, kind: "AccessPolicy", name: "nodes", spec: rights },
      ...Array.from({ length: others }, (_, number) => {
        const policy = { ...rights, subjects: [{ kind: "User", name: `user-${number}` }] };
        return { ...common, kind: "AccessPolicy", name: `policy-${number}`, spec: policy };
      }),
    ] as never,
    ledgers: {},
    settled: [],
  });
  // As kubelets ask; a probe is part of what nothing costs.
  const probing = setInterval(() => {
    for (const { adminUrl } of processes)
      void fetch(`${adminUrl}/readyz`).then(
        (answer) => answer.arrayBuffer(),
        () => undefined,
      );
  }, 5_000);
  stack.defer(() => clearInterval(probing));

  const round = async (name: string, work: () => Promise<unknown>, minutes = 1) => {
    await sleep(20_000);
    await ask("SELECT pg_stat_statements_reset()");
    const from = [bucket, source].map((hop: FaultyHop) => hop.requests.length);
    const before = (await Promise.all(processes.map(({ pid }) => treeUsage(pid)))).map(({ seconds }) => seconds);
    await work();
    const after = (await Promise.all(processes.map(({ pid }) => treeUsage(pid)))).map(({ seconds }) => seconds);
    const statements = await ask<{ calls: string; ms: number; query: string }>(
      "SELECT calls, mean_exec_time AS ms, query FROM pg_stat_statements JOIN pg_database d ON d.oid = dbid WHERE datname = 'registry' AND query NOT LIKE '%pg_stat_statements%' ORDER BY calls DESC",
    );
    const each = (count: number) => (count / minutes).toFixed(minutes === 1 ? 0 : 1);
    const total = statements.reduce((sum, { calls }) => sum + Number(calls), 0);
    const [inBucket = [], atSource = []] = [bucket, source].map((hop, index) => hop.requests.slice(from[index]));
    process.stdout.write(`## ${name}${minutes === 1 ? "" : ` (a minute)`}\n`);
    process.stdout.write(`* processor: ${each(after.reduce((sum, seconds, index) => sum + seconds - (before[index] ?? 0), 0))} s\n`);
    process.stdout.write(`* PostgreSQL: ${each(total)} statements\n`);
    for (const { calls, ms, query } of statements.slice(0, 14))
      process.stdout.write(`    * ${each(Number(calls))} × ${ms.toFixed(2)} ms: ${query.replaceAll(/\s+/g, " ").slice(0, 130)}\n`);
    process.stdout.write(
      `* bucket: ${each(inBucket.length)}: ${kinds(inBucket)}\n* upstream: ${each(atSource.length)}: ${kinds(atSource)}\n`,
    );
  };
  const login = `Basic ${Buffer.from("nodes:password").toString("base64")}`;
  const storm = () => Promise.all(Array.from({ length: nodes }, (_, node) => pull(processes[node % 2]!.url, login)));
  await round(`nothing, ${idleMinutes} minutes`, () => sleep(idleMinutes * 60_000), idleMinutes);
  await round(`${nodes} nodes pull an image that nobody has pulled before`, storm);
  await round(`${nodes} nodes pull it again`, storm);
}
