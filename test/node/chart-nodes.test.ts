// A registry that Helm installed, and nodes that are set up as docs/guides/nodes.md says: the chart's DaemonSet leads containerd to it, and Pods pull
// by their ServiceAccount alone.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { eventually } from "../support/eventually.ts";
import { clusterOf, registryHost } from "../support/node/cluster.ts";
import { pushShell } from "../support/node/images.ts";
import { startNode, type TestNode } from "../support/node/node.ts";
import { describePod, runPod } from "../support/node/pods.ts";
import { pushProduct } from "../support/node/product-image.ts";
import { prepareProduction, upstreamOf, type Production } from "../support/node/production.ts";
import { wharfinger } from "../support/standalone.ts";

/** Of the Upstream. No name server knows it: what a node pulls by it comes through the registry. */
const mirrored = "images.example.com";
const place = "wharfinger-nodes";
const words = ["cat", "/etc/words"];

let folder: string;
let node: TestNode;
let release: Production;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "wharfinger-nodes-"));
  await program("hosts", "--for", "kubelet", "--address", `https://${registryHost}`, "--output", folder);
  node = await startNode({ credentialProvider: { config: join(folder, "wharfinger-credentials.yaml"), binDir: join(folder, "bin") } });
  release = await prepareProduction(clusterOf(node, await pushProduct(node.images)), "wharfinger");
  await nodesOfTheChart();
  await release.entrance.publish();
  await pushShell(`${release.surroundings.upstream.host}/tools/shell:latest`, "pulled");
  await release.apply(`${upstreamOf(release)}---
apiVersion: wharfinger.dev/v1alpha1
kind: AccessPolicy
metadata: {name: tools}
spec:
  subjects: [{kind: User, name: nodes}, {kind: ServiceAccount, namespace: ${release.namespace}, name: puller}]
  repositories: {include: ["up/**"]}
  actions: [pull]
`);
  await release.hasCondition("Ready", "upstream/tools");
  await release.hasCondition("CredentialsLoaded", "upstream/tools");
});
afterAll(async () => {
  await release?.remove();
  await node?.stop();
  await rm(folder, { recursive: true, force: true });
});

/** Of this checkout, to its end. */
async function program(...args: readonly string[]): Promise<void> {
  const { code, stderr } = await wharfinger(args);
  if (code !== 0) throw new Error(`wharfinger ${args.join(" ")} ended with ${code}: ${stderr}`);
}

/** Installs the release with the DaemonSet, whose nodes are known by a robot's password. */
async function nodesOfTheChart(): Promise<void> {
  const password = join(folder, "password");
  const cluster = ["-n", release.namespace, "--kubeconfig", node.api.kubeconfig];
  await program("robot", "create", "nodes", ...cluster, "--apply", "--expires", "never", "--password-file", password);
  await release.kubectl("create", "namespace", place);
  await release.kubectl("label", "namespace", place, "pod-security.kubernetes.io/enforce=privileged");
  const authority = join(folder, "ca.crt");
  await writeFile(authority, release.entrance.authority);
  const files = [`--from-file=password=${password}`, `--from-file=ca.crt=${authority}`];
  const made = await node.api.kubectl(["-n", place, "create", "secret", "generic", "of-nodes", ...files]);
  expect([made.code, made.stderr]).toEqual([0, ""]);
  const nodes = { enabled: true, namespace: place, hosts: [mirrored], caSecret: "of-nodes", credentialSecret: "of-nodes" };
  // Who shows no password and no token pulls nothing.
  const settings = release.values["settings"] as { access: object };
  const access = { ...settings.access, anonymousPull: "None" };
  await release.install({ ...release.values, nodes, settings: { ...settings, access } });
}

test("a Pod pulls by the upstream's own name: through the registry, by what the DaemonSet wrote", async () => {
  expect(await runPod(release, { image: `${mirrored}/tools/shell:latest`, command: words })).toBe("pulled");
});

const image = `${registryHost}/up/tools/shell:latest`;

test("a Pod pulls by the registry's name as its ServiceAccount, without a pull secret; another account's Pod does not", async () => {
  await release.kubectl("apply", "-f", join(folder, "wharfinger-audience.yaml"));
  for (const account of ["puller", "other"]) await release.kubectl("create", "serviceaccount", account);
  expect(await runPod(release, { image, command: words, serviceAccount: "puller" })).toBe("pulled");
  const overrides = JSON.stringify({ spec: { serviceAccountName: "other" } });
  await release.kubectl("run", "other", `--image=${image}`, "--restart=Never", "--image-pull-policy=Always", `--overrides=${overrides}`);
  const refused = /tools\/shell:latest: not found|denied|insufficient_scope|authorization failed/;
  await eventually(async () => expect(await describePod(release, "other")).toMatch(refused), 60);
});

test("uninstalled, the chart leaves nothing on the node", async () => {
  const file = `/etc/containerd/certs.d/${mirrored}/hosts.toml`;
  expect(await node.run(["cat", file])).toContain(`${place}/wharfinger-nodes`);
  await release.helm("uninstall", "wharfinger", "--wait");
  await eventually(async () => expect(await node.run(["sh", "-c", `test -e ${file} || echo gone`])).toBe("gone\n"), 60);
});
