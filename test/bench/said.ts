// `npm run bench -- said`: how soon a process says what is in its way, in its log and at `/readyz`, from its start on (docs/guides/outages.md).
// Each starts once, from src/. Nothing is asserted.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { connectS3 } from "../../src/registry/blobs/s3-client.ts";
import { applyDefinitions } from "../support/definitions.ts";
import { answerTo } from "../support/eventually.ts";
import { freePort } from "../support/distribution.ts";
import { GitHost, type BareRepository } from "../support/git-remote.ts";
import { send } from "../support/http.ts";
import { createNamespace, startApiServer } from "../support/kubernetes.ts";
import { startOperatorProcess } from "../support/operator-process.ts";
import { installOperator } from "../support/operator-world.ts";
import { startPostgresServer } from "../support/postgres-server.ts";
import { bucketOf, credentialsOf, startRegistryProcess } from "../support/registry-process.ts";
import { startS3Service } from "../support/s3-service.ts";
import type { Launched } from "../support/serving-process.ts";

type Settings = Readonly<Record<string, unknown>>;

export async function benchSaid(): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-bench-said-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  await registry(stack, folder);
  await operator(stack, folder);
}

async function registry(stack: AsyncDisposableStack, folder: string): Promise<void> {
  const hba = ["host all wharfinger 127.0.0.1/32 trust", "host all app 127.0.0.1/32 scram-sha-256"];
  const [server, service] = await Promise.all([startPostgresServer({ hba }), startS3Service()]);
  stack.defer(() => server.stop());
  stack.defer(() => service.stop());
  await server.run("CREATE ROLE app LOGIN PASSWORD 'right'");
  for (const name of ["orders", "bucket"]) await server.run(`CREATE DATABASE ${name}`);
  await server.run("CREATE TABLE orders (id integer)", { database: "orders" });
  const root = await connectS3({ ...service.settings, bucket: "theirs" });
  stack.defer(async () => root.client.destroy());
  await root.client.send(new root.sdk.CreateBucketCommand({ Bucket: "theirs" }));
  const marker = "marker/5b0ea6a1-8d9c-4b5a-9f0e-0c6b1f6f0a11/000000000007";
  await root.client.send(new root.sdk.PutObjectCommand({ Bucket: "theirs", Key: marker, Body: "{}" }));

  const blobs = { folder: join(folder, "blobs") };
  const wrong = join(folder, "wrong");
  await writeFile(wrong, `postgresql://app:wrong@127.0.0.1:${server.port}/bucket`);
  const nowhere = `postgresql://app@127.0.0.1:${await freePort()}/bucket`;
  const database = (url: string) => ({ database: { url }, storage: blobs });
  await start("database: nobody listens", "DatabaseUnreachable", database(nowhere));
  await start("database: is not there", "DatabaseMissing", database(server.url("missing")));
  await start("database: wrong password", "DatabaseLoginRefused", { database: { urlFile: wrong }, storage: blobs });
  await start("database: another program's", "DatabaseOfAnotherProgram", database(server.url("orders")));
  const s3 = (bucket: string) => ({ database: { url: server.url("bucket") }, storage: { s3: { ...bucketOf(service.settings), bucket } } });
  const right = credentialsOf(service.settings);
  const other = { ...right, AWS_SECRET_ACCESS_KEY: "wrong" };
  await start("bucket: is not there", "BucketMissing", s3("missing"), right);
  await start("bucket: wrong key", "BucketKeyRefused", s3("theirs"), other);
  await start("bucket: another installation's", "StoreOfAnotherInstallation", s3("theirs"), right);
}

async function start(what: string, reason: string, settings: Settings, env: Readonly<Record<string, string>> = {}): Promise<void> {
  const probes = `127.0.0.1:${await freePort()}`;
  const begun = performance.now();
  const launched = Promise.withResolvers<Launched>();
  const serving = startRegistryProcess({ settings, env, args: ["--admin-listen", probes], launched: launched.resolve });
  serving.catch(() => undefined);
  const process = await launched.promise;
  await tell(what, reason, { begun, logs: process.logs, url: `http://${probes}` });
  await process.stop();
}

async function operator(stack: AsyncDisposableStack, folder: string): Promise<void> {
  const [api, host, server] = await Promise.all([startApiServer(), GitHost.start(), startPostgresServer()]);
  stack.defer(() => api.stop());
  stack.defer(() => host.stop());
  stack.defer(() => server.stop());
  await applyDefinitions(api);
  const settings = { database: { url: server.url() }, storage: { folder: join(folder, "served") } };
  const registries = await startRegistryProcess({ settings });
  stack.defer(async () => void (await registries.stop()));
  const literals = (password: string) => Object.entries({ ...host.secret, password }).map(([key, text]) => `--from-literal=${key}=${text}`);
  const right = host.secret["password"] ?? "";
  const launch = async (repository: BareRepository, password: string) => {
    const namespace = await createNamespace(api);
    const kubeconfig = await installOperator(api, namespace);
    await api.kubectl(["-n", namespace, "create", "secret", "generic", "record", ...literals(password)]);
    const remote = { url: host.urlOf(repository), secretRef: { namespace, name: "record" } };
    const begun = performance.now();
    const record = join(folder, namespace);
    return { begun, ...(await startOperatorProcess({ kubeconfig, namespaces: [namespace], registry: registries.controlUrl, record, settings: { record: { remote } } })) }; // prettier-ignore
  };
  const [gone, theirs] = [host.repository("gone"), host.repository("theirs")];
  gone.delete();
  const first = await launch(theirs, right);
  await answerTo("theirs has begun", () => theirs.head() ?? undefined);
  await first.stop();
  for (const [what, reason, repository, password] of [
    ["Git: the repository is not there", "RemoteUnavailable", gone, right],
    ["Git: wrong password", "RemoteRefused", theirs, "wrong"],
    ["Git: another installation's branch", "RecordOfAnotherInstallation", theirs, right],
  ] as const) {
    const process = await launch(repository, password);
    await tell(what, reason, process);
    await process.stop();
  }
}

interface Said {
  readonly begun: number;
  readonly logs: () => string;
  /** Of its probes. */
  readonly url: string;
}

async function tell(what: string, reason: string, { begun, logs, url }: Said): Promise<void> {
  const ready = async () => (await send(url, "GET", "/readyz").catch(() => undefined))?.body.toString() ?? "";
  const [log, probe] = await Promise.all([since(begun, reason, logs), since(begun, reason, ready)]);
  process.stdout.write(`| ${what} | \`${reason}\` | ${log} | ${probe} | load ${loadavg()[0]?.toFixed(1)}\n`);
}

/** Milliseconds. */
async function since(begun: number, reason: string, look: () => string | Promise<string>): Promise<string> {
  while (performance.now() - begun < 60_000) {
    if ((await look()).includes(reason)) return `${Math.round(performance.now() - begun)} ms`;
    await sleep(10);
  }
  return "not within a minute";
}
