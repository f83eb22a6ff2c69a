// What a person at the node asks containerd, with `ctr`.

import type { NodeAccess } from "./node.ts";
import { runtimeEndpoint } from "./containerd.ts";
import { requireNode } from "./requirements.ts";

/** containerd's namespace of the kubelet's images and containers. */
const kubelets = "k8s.io";

/** In one of containerd's namespaces. Resolves with what it prints. */
export async function ctr(node: NodeAccess, namespace: string, ...args: readonly string[]): Promise<string> {
  const { ctr: file } = await requireNode();
  return node.run([file, "--address", runtimeEndpoint.replace("unix://", ""), "--namespace", namespace, ...args]);
}

/** Every image of the kubelet's, also those of containers that run: what starts from now on is pulled. */
export async function wipeImages(node: NodeAccess): Promise<void> {
  const names = (await ctr(node, kubelets, "images", "ls", "--quiet")).split("\n").filter((line) => line !== "");
  await ctr(node, kubelets, "images", "rm", "--sync", ...names);
}

/** `kill -9` of a container's first process, as the kernel does it when memory is short. `containerID` as the Pod's status has it. */
export async function killContainer(node: NodeAccess, containerID: string): Promise<void> {
  await ctr(node, kubelets, "tasks", "kill", "--signal", "SIGKILL", containerID.replace("containerd://", ""));
}
