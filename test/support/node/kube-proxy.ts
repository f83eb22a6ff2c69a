// What makes Services reachable on a node.

import { writeFile } from "node:fs/promises";
import { join } from "node:path";

import { stringify } from "yaml";

import { whenReady, type ApiServer } from "../kubernetes.ts";
import { tool } from "../tools.ts";
import type { Enclosure } from "./enclosure.ts";
import { nodeName } from "./kubelet.ts";

/** Resolves when it has written its rules. */
export async function startKubeProxy(enclosure: Enclosure, api: ApiServer): Promise<void> {
  const { node, pods } = enclosure.addresses;
  const file = join(enclosure.folder, "kube-proxy.yaml");
  const configuration = {
    apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
    kind: "KubeProxyConfiguration",
    mode: "iptables",
    hostnameOverride: nodeName,
    clientConnection: { kubeconfig: await api.user("system:kube-proxy") },
    clusterCIDR: pods,
    bindAddress: node,
    healthzBindAddress: `${node}:10256`,
    // These are the whole machine's: a namespace may not set them.
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: "0s", tcpCloseWaitTimeout: "0s" },
  };
  await writeFile(file, stringify(configuration));
  const proxy = enclosure.launch("kube-proxy", await tool("kube-proxy"), [`--config=${file}`]);
  await whenReady("kube-proxy", proxy, async () => (await fetch(`http://${node}:10256/healthz`)).ok);
}
