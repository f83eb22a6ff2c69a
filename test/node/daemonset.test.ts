// The chart's DaemonSet on a real node: root without capabilities writes one folder of the node, says what it leaves alone, and cleans up.

import { afterAll, beforeAll, expect, test } from "vitest";
import { stringify } from "yaml";

import { ofKind, production, render, type Values } from "../support/chart.ts";
import { eventually } from "../support/eventually.ts";
import { sharedImage } from "../support/image.ts";
import { startNode, type TestNode } from "../support/node/node.ts";

const certs = "/etc/containerd/certs.d";
const place = "wharfinger-nodes";

let node: TestNode;
let image: Values;
beforeAll(async () => {
  const [started, built] = await Promise.all([startNode(), sharedImage()]);
  node = started;
  await node.run(["ctr", "--address", "/run/containerd.sock", "-n", "k8s.io", "images", "import", built.archive]);
  const colon = built.reference.lastIndexOf(":");
  image = { repository: built.reference.slice(0, colon), tag: built.reference.slice(colon + 1), pullPolicy: "Never" };
  await kubectl(["create", "namespace", place]);
  await kubectl(["label", "namespace", place, "pod-security.kubernetes.io/enforce=privileged"]);
});
afterAll(() => node?.stop());

async function kubectl(args: readonly string[], input?: string): Promise<string> {
  const { code, stdout, stderr } = await node.api.kubectl(args, input === undefined ? {} : { input });
  if (code !== 0) throw new Error(`kubectl ${args.join(" ")} ended with ${code}: ${stderr}`);
  return stdout.trim();
}

async function apply(hosts: readonly string[]): Promise<void> {
  const values = { ...production, image, nodes: { enabled: true, namespace: place, hosts, address: "http://10.96.0.50:5000" } };
  const objects = ofKind(await render(values), "DaemonSet");
  await kubectl(["apply", "--server-side", "-f", "-"], objects.map((object) => stringify(object)).join("---\n"));
}

const rolledOut = () => kubectl(["-n", place, "rollout", "status", "daemonset/wharfinger-nodes", "--timeout=120s"]);
const listed = async () => (await node.run(["sh", "-c", `cd ${certs} && find . -type f | sort`])).trim().split("\n");

test("it is ready when the files are there, is replaced without a gap, and says what it leaves alone; uninstalled it leaves nothing", async () => {
  const before = await listed();
  await apply(["docker.io", "ghcr.io"]);
  await rolledOut();
  expect(await listed()).toEqual([...before, "./docker.io/hosts.toml", "./ghcr.io/hosts.toml"].toSorted());
  const first = await node.run(["cat", `${certs}/docker.io/hosts.toml`]);
  expect(first).toContain(`(${place}/wharfinger-nodes pod `);

  // One host less, and all the while the other is there.
  const watched = node.run(["sh", "-c", `for i in $(seq 100); do cat ${certs}/docker.io/hosts.toml >/dev/null || exit 1; sleep 0.2; done`]);
  await apply(["docker.io"]);
  await rolledOut();
  await eventually(async () => expect(await listed()).toEqual([...before, "./docker.io/hosts.toml"].toSorted()));
  await watched;
  expect(await node.run(["cat", `${certs}/docker.io/hosts.toml`])).not.toBe(first);

  await node.run(["sh", "-c", `mkdir ${certs}/quay.io && echo 'server = "https://quay.io"' >${certs}/quay.io/hosts.toml`]);
  await apply(["docker.io", "quay.io"]);
  await eventually(async () => {
    const events = await kubectl(["-n", place, "get", "events", "-o", "jsonpath={.items[*].message}"]);
    expect(events).toContain(`quay.io is left as it is: ${certs}/quay.io/hosts.toml was written by somebody else.`);
  });

  await kubectl(["-n", place, "delete", "daemonset", "wharfinger-nodes"]);
  await eventually(async () => expect(await listed()).toEqual([...before, "./quay.io/hosts.toml"].toSorted()));
});
