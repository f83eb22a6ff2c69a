// `npm run bench -- memory reporter`: how much memory and processor a whole report of a large cluster takes.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { stringify } from "yaml";

import { answerTo } from "../support/eventually.ts";
import { send } from "../support/http.ts";
import { createNamespace, startApiServer } from "../support/kubernetes.ts";
import { processToken, startServing } from "../support/serving-process.ts";
import { treeUsage } from "./cpu.ts";
import { limitedGroup } from "./limited.ts";
import { resident } from "./resident.ts";

const program = resolve(import.meta.dirname, "../../dist/cli/main.js");
const pods = 10_000;
const images = 2_000;
/** Bytes that an object has beside what a reporter reads: variables, annotations, what its owner wrote. */
const weight = 6_000;
const creators = 16;
/** Bytes: that of `reporter.resources` in the chart. */
const limit = 384 * 1024 ** 2;

/** Of a size as Pods have it in a cluster: with what a mesh adds. */
const pod = (number: number) => {
  const image = `registry.example.com/team-${number % 50}/app-${number % images}:v1`;
  return {
    metadata: { name: `pod-${number}`, annotations: { "example.com/config": "x".repeat(weight) } },
    spec: { containers: ["app", "proxy"].map((name) => ({ name, image: name === "app" ? image : "registry.example.com/mesh/proxy:v3" })) },
  };
};

export async function benchReporter(): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-bench-reporter-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const api = await startApiServer();
  stack.defer(() => api.stop());
  const namespace = await createNamespace(api);
  let next = 0;
  const create = async () => {
    while (next < pods) {
      const { status } = await api.send("POST", `/api/v1/namespaces/${namespace}/pods`, { body: pod(next++) });
      if (status !== 201) throw new Error(`A Pod could not be made: ${status}`);
    }
  };
  await Promise.all(Array.from({ length: creators }, create));

  const [settings, token] = [join(folder, "settings.yaml"), join(folder, "token")];
  await Promise.all([writeFile(token, processToken), writeFile(settings, stringify({ clusters: [{ name: "prod" }] }))]);
  const serve = [
    "registry",
    "--data",
    join(folder, "data"),
    "--listen",
    "127.0.0.1:0",
    "--settings",
    settings,
    "--admin-token-file",
    token,
  ];
  const registry = await startServing([process.execPath, program, ...serve], { ready: "Serving on ", lastSignal: "SIGTERM" });
  stack.defer(async () => void (await registry.stop()));
  const report = ["report", "--registry", registry.url, "--token-file", token, "--cluster", "prod", "--kubeconfig", api.kubeconfig];
  const group = await limitedGroup(limit);
  stack.defer(() => group.remove());
  const [shell = "", ...words] = group.command([process.execPath, program, ...report]);
  const reporter = spawn(shell, words, { stdio: ["ignore", "ignore", "inherit"] });
  stack.defer(async () => {
    const ended = once(reporter, "close");
    if (reporter.kill()) await ended;
  });
  const pid = reporter.pid ?? 0;
  const started = performance.now();
  await answerTo(
    "the registry has a whole report",
    async () => {
      const { body } = await send(registry.url, "GET", "/metrics", { headers: { authorization: `Bearer ${processToken}` } });
      return /^wharfinger_workloads_unknown\{cluster="prod"\} 0$/m.test(body.toString()) ? true : undefined;
    },
    { seconds: 600 },
  );
  const seconds = (performance.now() - started) / 1000;
  const { most, after } = await resident(pid);
  const cpu = (await treeUsage(pid)).seconds;
  process.stdout.write(
    `A whole report of ${pods} Pods of ${weight} bytes and more, ${images} images: ${(most / 2 ** 20).toFixed(0)} MiB resident at the most, ` +
      `${(after / 2 ** 20).toFixed(0)} after; ${cpu.toFixed(1)} s of processor, ${seconds.toFixed(0)} s.\n`,
  );
}
