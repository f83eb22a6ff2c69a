// deploy/kind without Docker: kind reads its configuration, its files agree with each other and with the program, and `npm run test:e2e:kind` says what is missing.

import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";

import ipaddr from "ipaddr.js";
import { expect, test } from "vitest";
import { parse } from "yaml";

import { named, render, type Values } from "../support/chart.ts";
import { program } from "../support/programs.ts";
import { wharfinger } from "../support/standalone.ts";
import { tool } from "../support/tools.ts";

const root = resolve(import.meta.dirname, "../..");
const folder = join(root, "deploy/kind");

interface Cluster {
  readonly networking: { readonly serviceSubnet: string; readonly kubeProxyMode: string };
  readonly containerdConfigPatches: readonly string[];
  readonly nodes: readonly { readonly extraMounts: readonly { readonly hostPath: string; readonly containerPath: string }[] }[];
}
const cluster = parse(await readFile(join(folder, "cluster.yaml"), "utf8")) as Cluster;
const values = parse(await readFile(join(folder, "values.yaml"), "utf8")) as Values & {
  readonly service: { readonly clusterIP: string; readonly nodePort: number };
};

/** Where nobody listens, so that no cluster is made on a machine with Docker. */
const nowhere = { DOCKER_HOST: "unix:///nowhere/docker.sock", KIND_EXPERIMENTAL_PROVIDER: "docker" };

async function create(configuration: string) {
  const args = ["create", "cluster", "--name", "wharfinger-configuration", "--config", "-"];
  return program(await tool("kind"), args, { env: nowhere, input: configuration, cwd: root });
}

test("kind reads the configuration, and minds nothing before it looks for Docker", async () => {
  const { code, stderr } = await create(await readFile(join(folder, "cluster.yaml"), "utf8"));
  expect(code).toBe(1);
  expect(stderr).toMatch(/docker/i);
  expect(stderr).not.toMatch(/decode|unknown|not found in type/);
  const wrong = await create("kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnodez: []\n");
  expect(wrong.stderr).toContain("field nodez not found");
});

test("the address of the mirror is one of the cluster's, of the chart's values, and the one that certs.d sends nodes to", async () => {
  const { clusterIP, nodePort } = values.service;
  expect(ipaddr.parse(clusterIP).match(ipaddr.parseCIDR(cluster.networking.serviceSubnet))).toBe(true);
  const service = named(await render(values, { namespace: "wharfinger" }), "Service", "wharfinger", "wharfinger");
  expect(service.spec).toMatchObject({ type: "NodePort", clusterIP, ports: [{ port: 5000, nodePort }] });
  expect(values["externalURL"]).toBe(`http://localhost:${nodePort}`);
  const address = ["--address", `http://${clusterIP}:5000`];
  const { stdout } = await wharfinger(["hosts", "--for", "containerd", ...address, "--upstream", "cgr.dev=cgr"]);
  expect(stdout).toContain((await readFile(join(folder, "certs.d/cgr.dev/hosts.toml"), "utf8")).trim());
});

test("what is mounted is where containerd looks, and the node's own ports answer at localhost", () => {
  const [mount] = cluster.nodes.flatMap(({ extraMounts }) => extraMounts);
  expect(join(root, mount?.hostPath ?? "")).toBe(join(folder, "certs.d"));
  expect(cluster.containerdConfigPatches.join()).toContain(`config_path = "${mount?.containerPath}"`);
  expect(cluster.networking.kubeProxyMode).toBe("iptables");
});

test.each([
  ["Docker that does not answer", { DOCKER_HOST: nowhere.DOCKER_HOST }],
  ["no Docker", { PATH: "/nowhere" }],
])("npm run test:e2e:kind with %s: one sentence that says what to do, and no success", async (_, env) => {
  const { code, stdout, stderr } = await program(process.execPath, [join(root, "bin/test-kind.mjs")], { env });
  expect([code, stdout]).toEqual([1, ""]);
  expect(stderr).toMatch(/^Docker (?:is missing|does not answer)[^\n]+ and run this again\.\n$/);
});
