// The names of a cluster: its Services, and what a test says is in the world around it. Pods and the node itself ask the same server.

import { appendFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { whenReady, type ApiServer } from "../kubernetes.ts";
import { tool } from "../tools.ts";
import type { Enclosure } from "./enclosure.ts";

const hostsFile = ({ folder }: Pick<Enclosure, "folder">) => join(folder, "names");

/** Resolves when it knows the cluster's Services. */
export async function startDns(enclosure: Enclosure, api: ApiServer): Promise<void> {
  const { folder, addresses } = enclosure;
  const user = "coredns";
  const kubeconfig = await api.user(user);
  const { status, body } = await api.send("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", {
    body: {
      metadata: { name: user },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "view" },
      subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: user }],
    },
  });
  if (status !== 201) throw new Error(`CoreDNS may not read the cluster: ${JSON.stringify(body)}`);
  await writeFile(hostsFile(enclosure), "");
  const file = join(folder, "Corefile");
  await writeFile(
    file,
    `.:53 {
  bind ${addresses.node}
  ready ${addresses.node}:8181
  errors
  hosts ${hostsFile(enclosure)} {
    reload 1s
    fallthrough
  }
  kubernetes cluster.local in-addr.arpa {
    kubeconfig ${kubeconfig}
  }
}
`,
  );
  // Not to be followed: on many machines it is a link to somewhere that the node has not.
  await enclosure.run(["sh", "-c", 'rm -f /etc/resolv.conf && echo "nameserver $0" >/etc/resolv.conf', addresses.node]);
  const dns = enclosure.launch("coredns", await tool("coredns"), ["-conf", file]);
  await whenReady("coredns", dns, async () => (await fetch(`http://${addresses.node}:8181/ready`)).ok);
}

/** Known to pods and to the node some seconds later. */
export function announce(enclosure: Pick<Enclosure, "folder">, name: string, address: string): Promise<void> {
  return appendFile(hostsFile(enclosure), `${address} ${name}\n`);
}
