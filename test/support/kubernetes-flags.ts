// The flags of etcd and of a control plane's programs (./kubernetes.ts).

import { join } from "node:path";

export interface Ports {
  readonly etcd: number;
  readonly peers: number;
  readonly api: number;
}

export const flags = (values: Readonly<Record<string, string>>) => Object.entries(values).map(([name, value]) => `--${name}=${value}`);

export function etcdArguments(folder: string, ports: Ports): string[] {
  const clients = `http://127.0.0.1:${ports.etcd}`;
  const peers = `http://127.0.0.1:${ports.peers}`;
  return flags({
    name: "test",
    "data-dir": join(folder, "etcd"),
    "listen-client-urls": clients,
    "advertise-client-urls": clients,
    "listen-peer-urls": peers,
    "initial-advertise-peer-urls": peers,
    "initial-cluster": `test=${peers}`,
    "unsafe-no-fsync": "true",
    "log-level": "error",
  });
}

/** Of a cluster that has nodes. */
export interface ClusterAddresses {
  /** The machine's address as nodes and pods see it. */
  readonly machine: string;
  /** CIDR. */
  readonly services: string;
  /** That of the Service `kubernetes`: the first of `services`. */
  readonly kubernetes: string;
}

interface ApiServer {
  readonly ports: Ports;
  readonly issuer: string;
  readonly cluster: ClusterAddresses | undefined;
}

export function apiServerArguments(folder: string, { ports, issuer, cluster }: ApiServer): string[] {
  const at = (file: string) => join(folder, file);
  return flags({
    "etcd-servers": `http://127.0.0.1:${ports.etcd}`,
    "secure-port": String(ports.api),
    "cert-dir": folder,
    "tls-cert-file": at("server.crt"),
    "tls-private-key-file": at("server.key"),
    "client-ca-file": at("ca.crt"),
    "service-account-issuer": issuer,
    "service-account-key-file": at("service-accounts.pub"),
    "service-account-signing-key-file": at("service-accounts.key"),
    ...(cluster === undefined ? alone : withNodes(folder, cluster)),
  });
}

const alone = {
  "bind-address": "127.0.0.1",
  // Nobody asks for the Service `kubernetes`, whose address may not be a loopback one.
  "advertise-address": "127.0.0.1",
  "endpoint-reconciler-type": "none",
  "service-cluster-ip-range": "10.96.0.0/16",
  "authorization-mode": "RBAC",
};

function withNodes(folder: string, { machine, services }: ClusterAddresses): Record<string, string> {
  return {
    "bind-address": machine,
    "advertise-address": machine,
    "service-cluster-ip-range": services,
    // A kubelet may read what its own pods use, and change its own node.
    "authorization-mode": "Node,RBAC",
    "enable-admission-plugins": "NodeRestriction",
    "allow-privileged": "true",
    // Logs, exec and port-forward go to the kubelet, which lets the cluster's administrators do that.
    "kubelet-client-certificate": join(folder, "admin.crt"),
    "kubelet-client-key": join(folder, "admin.key"),
    "kubelet-certificate-authority": join(folder, "ca.crt"),
    "kubelet-preferred-address-types": "InternalIP",
  };
}

export function controllerArguments(folder: string): string[] {
  const at = (file: string) => join(folder, file);
  const kubeconfig = at("controllers.kubeconfig");
  return flags({
    kubeconfig,
    "authentication-kubeconfig": kubeconfig,
    "authorization-kubeconfig": kubeconfig,
    "authentication-skip-lookup": "true",
    "leader-elect": "false",
    "use-service-account-credentials": "true",
    "root-ca-file": at("ca.crt"),
    "service-account-private-key-file": at("service-accounts.key"),
    // Its own limit of 20 requests a second would cost a fresh server five seconds.
    "kube-api-qps": "500",
    "kube-api-burst": "1000",
    "secure-port": "0",
  });
}
