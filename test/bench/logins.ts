// `npm run bench -- logins`: what it costs a pull that its caller shows who he is, and what a token costs, as processor time of the server's whole
// process tree.

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { hashSync } from "bcryptjs";

import { eventually } from "../support/eventually.ts";
import { send } from "../support/http.ts";
import { pushImage } from "../support/images.ts";
import { startStandalone, type Standalone } from "../support/standalone.ts";
import { treeUsage } from "./cpu.ts";
import { load } from "./load.ts";

const rounds = 5;
const requests = 20_000;
const manifest = "/v2/bench/app/manifests/v1";
const token = "/token?service=wharfinger&scope=repository:bench/app:pull";

const resources = `
apiVersion: v1
kind: Secret
metadata: {name: wharfinger-users}
stringData: {htpasswd: "ci:${hashSync("password", 10)}"}
---
apiVersion: wharfinger.dev/v1alpha1
kind: AccessPolicy
metadata: {name: pullers}
spec: {subjects: [{kind: User, name: ci}], repositories: {include: ["bench/**"]}, actions: [pull]}
---
apiVersion: wharfinger.dev/v1alpha1
kind: AccessPolicy
metadata: {name: everybody}
spec: {subjects: [{kind: Anonymous}], repositories: {include: ["bench/**"]}, actions: [pull]}
`;

/** Microseconds a request. */
async function cpuOf(server: Standalone, path: string, headers: Readonly<Record<string, string>>): Promise<number> {
  const { hostname, port } = new URL(server.url);
  const options = { host: hostname, port: Number(port), path, headers, connections: 64 };
  await load({ ...options, requests: requests / 10 });
  const before = (await treeUsage(server.pid)).seconds;
  await load({ ...options, requests });
  return (((await treeUsage(server.pid)).seconds - before) / requests) * 1e6;
}

export async function benchLogins(): Promise<void> {
  const server = await startStandalone({ build: true });
  try {
    await pushImage({ reference: `${new URL(server.url).host}/bench/app:v1`, content: "bench" });
    await writeFile(join(server.config, "access.yaml"), resources);
    const basic = { authorization: `Basic ${Buffer.from("ci:password").toString("base64")}` };
    const bearer = async (credentials: Readonly<Record<string, string>>) => {
      const { token: given } = (await send(server.url, "GET", token, { headers: credentials })).json() as { token: string };
      return { authorization: `Bearer ${given}` };
    };
    await eventually(async () => {
      const pulled = await send(server.url, "GET", manifest, { headers: await bearer(basic) });
      if (pulled.status !== 200) throw new Error(`${pulled.status}`);
    });
    await sleep(20_000); // until start-up is over and its garbage is gone
    const rows = [
      ["manifest, anonymous", manifest, async () => ({})],
      ["manifest, Basic", manifest, async () => basic],
      ["manifest, token", manifest, () => bearer(basic)],
      ["manifest, anonymous token", manifest, () => bearer({})],
      ["a token, anonymous", token, async () => ({})],
      ["a token, Basic", token, async () => basic],
    ] as const;
    const found = new Map<string, number[]>(rows.map(([name]) => [name, []]));
    for (let round = 0; round < rounds; round++) {
      for (const [name, path, headers] of rows) found.get(name)?.push(await cpuOf(server, path, await headers()));
    }
    process.stdout.write(`| 64 connections, ${rounds} rounds | µs of processor a request: median (least-most) |\n|---|---|\n`);
    for (const [name, samples] of found) {
      const sorted = samples.toSorted((a, b) => a - b).map((sample) => sample.toFixed(0));
      process.stdout.write(`| ${name} | ${sorted[Math.floor(sorted.length / 2)]} (${sorted[0]}-${sorted.at(-1)}) |\n`);
    }
  } finally {
    await server.stop();
  }
}
