// The node that end-to-end tests stand on (test/support/node) runs pods as any other, and leaves the machine as it was.

import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";

import { beforeAll, expect, onTestFinished, test } from "vitest";

import { eventually } from "../support/eventually.ts";
import { createNamespace } from "../support/kubernetes.ts";
import { startNode, type NodeAccess } from "../support/node/node.ts";
import { sharedNode } from "../support/node/shared-node.ts";

/** One of those that a kubelet sets for the whole machine. */
const machineSetting = "/proc/sys/kernel/panic";

let node: NodeAccess;
beforeAll(async () => {
  node = await sharedNode();
});

async function kubectl(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await node.api.kubectl(args);
  if (code !== 0) throw new Error(`kubectl ${args.join(" ")} ended with ${code}: ${stderr}`);
  return stdout.trim();
}

/** Runs a command in a pod of its own to its end. Resolves with what it said. */
async function runPod(namespace: string, name: string, image: string, ...command: readonly string[]): Promise<string> {
  await kubectl("-n", namespace, "run", name, `--image=${image}`, "--restart=Never", "--command", "--", ...command);
  try {
    await kubectl("-n", namespace, "wait", "--for=jsonpath={.status.phase}=Succeeded", `pod/${name}`, "--timeout=60s");
  } catch (error) {
    throw new Error(await kubectl("-n", namespace, "describe", "pod", name), { cause: error });
  }
  return kubectl("-n", namespace, "logs", name);
}

test("a pod runs an image of a registry on this machine, which sees none of its mounts", async () => {
  expect(await runPod(await createNamespace(node.api), "once", node.busybox, "echo", "hello")).toBe("hello");
  expect(await readFile("/proc/mounts", "utf8")).not.toContain("wharfinger-node");
});

test("containerd is sent elsewhere for a registry, by its hosts.toml", async () => {
  await node.setRegistryHost("registry.example.com", { server: `http://${node.images}` });
  expect(await runPod(await createNamespace(node.api), "mirrored", "registry.example.com/busybox:1", "echo", "mirrored")).toBe("mirrored");
});

test("pods and the node find a Service and a name of the world around", async () => {
  const namespace = await createNamespace(node.api);
  await node.announce("world.example.com", node.addresses.machine);
  const page = "mkdir -p /tmp/w; echo served >/tmp/w/index.html; exec httpd -f -p 8080 -h /tmp/w";
  await kubectl("-n", namespace, "create", "deployment", "web", `--image=${node.busybox}`, "--", "sh", "-c", page);
  await kubectl("-n", namespace, "expose", "deployment", "web", "--port=80", "--target-port=8080");
  await kubectl("-n", namespace, "rollout", "status", "deployment/web", "--timeout=60s");
  const ask = `until nslookup world.example.com | grep -q ${node.addresses.machine}; do sleep 1; done
    until printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc web 80 | grep served; do sleep 1; done`;
  expect(await runPod(namespace, "asks", node.busybox, "sh", "-c", ask)).toBe("served");
  const address = await kubectl("-n", namespace, "get", "service", "web", "-o", "jsonpath={.spec.clusterIP}");
  await eventually(async () => expect(await (await fetch(`http://${address}/`)).text()).toBe("served\n"));
});

test("what is stopped is gone, and the machine is as it was", async () => {
  const before = await readFile(machineSetting, "utf8");
  // Another value than a kubelet's: the run's own node has set that already.
  await writeFile(machineSetting, "7");
  onTestFinished(() => writeFile(machineSetting, before));
  const another = await startNode();
  const { folder } = another.api;
  const pids = Object.values(another.api.pids());
  const { machine } = another.addresses;
  expect(await readFile("/proc/net/fib_trie", "utf8")).toContain(machine);
  expect(await readFile(machineSetting, "utf8")).not.toBe("7\n");
  await another.stop();
  expect(existsSync(folder)).toBe(false);
  for (const pid of pids) expect(existsSync(`/proc/${pid}`)).toBe(false);
  expect(await readFile("/proc/net/fib_trie", "utf8")).not.toContain(machine);
  expect(await readFile(machineSetting, "utf8")).toBe("7\n");
});
