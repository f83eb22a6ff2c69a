// The kubelet of a node, which joins the cluster by a certificate of its own.

import { writeFile } from "node:fs/promises";
import { join } from "node:path";

import { stringify } from "yaml";

import { forServers, issue } from "../certificates.ts";
import { whenReady, type ApiServer } from "../kubernetes.ts";
import { tool } from "../tools.ts";
import { runtimeEndpoint } from "./containerd.ts";
import type { Enclosure } from "./enclosure.ts";

/** The node's, in the cluster. */
export const nodeName = "node";

interface NodeObject {
  readonly status: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

/** Whom the kubelet asks for the credentials of images. */
export interface CredentialProvider {
  /** A file: CredentialProviderConfig. */
  readonly config: string;
  /** The folder of the programs that it names. */
  readonly binDir: string;
}

export interface KubeletOptions {
  readonly credentialProvider?: CredentialProvider;
}

/** Resolves when the node is ready for pods. */
export async function startKubelet(enclosure: Enclosure, api: ApiServer, { credentialProvider }: KubeletOptions): Promise<void> {
  const { folder, addresses } = enclosure;
  const identity = { name: `system:node:${nodeName}`, organizations: ["system:nodes"] };
  const [kubeconfig, server] = await Promise.all([
    api.user(identity.name, identity.organizations),
    issue(api.folder, { ...identity, extensions: forServers(`IP:${addresses.node}`, `DNS:${nodeName}`) }),
  ]);
  const files = { cert: join(folder, "kubelet.crt"), key: join(folder, "kubelet.key"), config: join(folder, "kubelet.yaml") };
  await writeFile(files.cert, server.cert);
  await writeFile(files.key, server.key, { mode: 0o600 });
  await writeFile(files.config, stringify(configuration(enclosure, { ...files, authority: join(api.folder, "ca.crt") })));
  const kubelet = enclosure.launch("kubelet", await tool("kubelet"), [
    `--config=${files.config}`,
    `--kubeconfig=${kubeconfig}`,
    `--hostname-override=${nodeName}`,
    // A loopback address is refused.
    `--node-ip=${addresses.node}`,
    ...(credentialProvider === undefined
      ? []
      : [
          `--image-credential-provider-config=${credentialProvider.config}`,
          `--image-credential-provider-bin-dir=${credentialProvider.binDir}`,
        ]),
  ]);
  await whenReady("kubelet", kubelet, async () => {
    const { status, body } = await api.send<NodeObject>("GET", `/api/v1/nodes/${nodeName}`);
    return status === 200 && (body.status.conditions ?? []).some((condition) => condition.type === "Ready" && condition.status === "True");
  });
}

interface Files {
  readonly cert: string;
  readonly key: string;
  readonly authority: string;
}

function configuration({ name, addresses }: Enclosure, files: Files): object {
  return {
    apiVersion: "kubelet.config.k8s.io/v1beta1",
    kind: "KubeletConfiguration",
    // Machines that still have version 1 are refused otherwise.
    failCgroupV1: false,
    failSwapOn: false,
    cgroupDriver: "cgroupfs",
    cgroupRoot: `/${name}`,
    containerRuntimeEndpoint: runtimeEndpoint,
    address: addresses.node,
    tlsCertFile: files.cert,
    tlsPrivateKeyFile: files.key,
    authentication: { anonymous: { enabled: false }, webhook: { enabled: true }, x509: { clientCAFile: files.authority } },
    authorization: { mode: "Webhook" },
    clusterDomain: "cluster.local",
    clusterDNS: [addresses.node],
    resolvConf: "/etc/resolv.conf",
    // A million by default, which needs CAP_SYS_RESOURCE.
    maxOpenFiles: 20_000,
    // A test's disk is full for others' reasons; images go when a test wants it.
    evictionHard: Object.fromEntries(
      ["memory.available", "nodefs.available", "nodefs.inodesFree", "imagefs.available", "imagefs.inodesFree"].map((signal) => [
        signal,
        "1%",
      ]),
    ),
    imageGCHighThresholdPercent: 100,
    imageGCLowThresholdPercent: 99,
    serializeImagePulls: false,
    // What is mounted of Secrets is as they are soon, not after a minute and more.
    syncFrequency: "5s",
    registryPullQPS: 0,
  };
}
