// The container runtime of a node, with the network of its pods.

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { whenReady } from "../kubernetes.ts";
import { program } from "../programs.ts";
import type { Enclosure } from "./enclosure.ts";
import type { NodePrograms } from "./requirements.ts";

/** As the node sees it. */
export const runtimeEndpoint = "unix:///run/containerd.sock";

export interface RuntimeOptions {
  readonly programs: NodePrograms;
  /** The image whose process holds a pod's namespaces. */
  readonly pause: string;
}

/** Resolves when it answers. */
export async function startContainerd(enclosure: Enclosure, { programs, pause }: RuntimeOptions): Promise<void> {
  const { folder, addresses } = enclosure;
  await writeFile(join(folder, "networks", "10-pods.conflist"), JSON.stringify(podNetwork(addresses.pods)));
  await writeFile(join(folder, "etc-containerd", "config.toml"), configuration(programs, pause));
  const containerd = enclosure.launch("containerd", programs.containerd, ["--config", "/etc/containerd/config.toml"]);
  const socket = join(folder, "run", "containerd.sock");
  await whenReady("containerd", containerd, async () => (await program(programs.ctr, ["--address", socket, "version"])).code === 0);
}

export interface RegistryHost {
  /** Where the registry is. Without it the name itself would be asked. */
  readonly server: string;
  /** Asked before. */
  readonly mirror?: string;
  /** PEM: who may have made their certificates. */
  readonly authority?: string;
}

/** Lets containerd ask a registry, by its name in image references, as this says. Read on each pull. */
export async function setRegistryHost(
  { folder }: Pick<Enclosure, "folder">,
  name: string,
  { server, mirror = server, authority }: RegistryHost,
): Promise<void> {
  const path = join("etc-containerd", "certs.d", name);
  await mkdir(join(folder, path), { recursive: true });
  const lines = [`[host."${mirror}"]`, '  capabilities = ["pull", "resolve"]'];
  if (authority !== undefined) await writeFile(join(folder, path, "ca.crt"), authority);
  const ca = authority === undefined ? [] : [`ca = "/etc/containerd/certs.d/${name}/ca.crt"`];
  const text = [`server = "${server}"`, ...ca, ...lines, ...ca].join("\n");
  await writeFile(join(folder, path, "hosts.toml"), `${text}\n`);
}

function podNetwork(pods: string): object {
  return {
    cniVersion: "1.0.0",
    name: "pods",
    plugins: [
      {
        type: "bridge",
        bridge: "pods",
        isGateway: true,
        ipMasq: true,
        hairpinMode: true,
        ipam: { type: "host-local", ranges: [[{ subnet: pods }]], routes: [{ dst: "0.0.0.0/0" }] },
      },
      { type: "portmap", capabilities: { portMappings: true } },
    ],
  };
}

/** Of form 2, which containerd 1.6 and 2 read. */
function configuration({ runc, plugins }: NodePrograms, pause: string): string {
  const cri = 'plugins."io.containerd.grpc.v1.cri"';
  return `version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"
[${cri}]
  sandbox_image = "${pause}"
  # Every sandbox asks for less than its parent has, which a machine without CAP_SYS_RESOURCE refuses.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
[${cri}.containerd]
  snapshotter = "overlayfs"
  default_runtime_name = "runc"
[${cri}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[${cri}.containerd.runtimes.runc.options]
  BinaryName = "${runc}"
  SystemdCgroup = false
[${cri}.cni]
  bin_dir = "${plugins}"
  conf_dir = "/etc/cni/net.d"
[${cri}.registry]
  config_path = "/etc/containerd/certs.d"
`;
}
