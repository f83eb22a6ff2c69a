// The cluster in which an installation is tested: the run's own node, or one that somebody gave (./given-cluster.ts).

import { inject } from "vitest";

import { createCertificates } from "../certificates.ts";
import type { KubernetesApi } from "../kubernetes-access.ts";
import { givenCluster } from "./given-cluster.ts";
import type { Addresses } from "./addresses.ts";
import type { NodeAccess } from "./node.ts";
import type { ProductImage } from "./product-image.ts";
import { sharedNode, sharedProduct } from "./shared-node.ts";

export interface Cluster {
  readonly api: Pick<KubernetesApi, "kubectl" | "kubeconfig">;
  /** `machine`: where Pods and nodes find what a test starts. */
  readonly addresses: Pick<Addresses, "machine">;
  /** `image` of the chart's values. */
  readonly image: object;
  /** How a registry of that namespace is reached. */
  entranceOf(namespace: string): Promise<Entrance>;
}

export interface Entrance {
  /** host:port in image references of Pods. */
  readonly host: string;
  /** host:port for this machine. */
  readonly address: string;
  /** Of the chart: externalURL, service, tls. */
  readonly values: Readonly<Record<string, unknown>>;
  /** Secrets that they name. */
  readonly secrets: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** PEM: who made its certificate; empty where it has none. */
  readonly authority: string;
  /** Nodes find the registry from then on, and trust it. */
  publish(): Promise<void>;
}

export async function sharedCluster(): Promise<Cluster> {
  const given = inject("given");
  return given === undefined ? clusterOf(await sharedNode(), sharedProduct()) : givenCluster(given);
}

/** `product`: where the node can pull it. */
export function clusterOf(node: NodeAccess, product: ProductImage): Cluster {
  const { api, addresses } = node;
  return { api, addresses, image: product, entranceOf: (namespace) => byName(node, namespace) };
}

const hostname = "registry.example.com";
/** That of `externalURL` on nodes of our own. */
export const registryHost = `${hostname}:5000`;

/** A name with TLS, whose authority containerd is told. */
async function byName(node: NodeAccess, namespace: string): Promise<Entrance> {
  const clusterIP = node.addresses.services.replace(/0\/24$/, "50");
  const services = ["wharfinger", "wharfinger-control"].map((name) => `${name}.${namespace}.svc`);
  const { authority, server } = await createCertificates(clusterIP, [hostname, ...services]);
  return {
    host: registryHost,
    address: `${clusterIP}:5000`,
    values: { externalURL: `https://${registryHost}`, tls: { existingSecret: "certificate" }, service: { clusterIP } },
    secrets: { certificate: { "tls.crt": server.cert, "tls.key": server.key, "ca.crt": authority } },
    authority,
    publish: async () => {
      await node.announce(hostname, clusterIP);
      await node.setRegistryHost(registryHost, { server: `https://${registryHost}`, authority });
    },
  };
}
