// Our own client of a test's API server: as its administrator, as somebody with fewer rights, or by way of a hop.

import { openClusterAccess } from "../../src/operator/kube/cluster-access.ts";
import type { ClusterAccess } from "../../src/operator/kube/credentials.ts";
import { KubeClient } from "../../src/operator/kube/kube-client.ts";

/** `port`: of a hop on 127.0.0.1 before the server. */
export async function accessBy(kubeconfig: string, { port }: { readonly port?: number } = {}): Promise<ClusterAccess> {
  const access = await openClusterAccess({ KUBECONFIG: kubeconfig });
  return port === undefined ? access : { ...access, server: `https://127.0.0.1:${port}` };
}

export async function clientBy(kubeconfig: string, options: { readonly port?: number } = {}): Promise<KubeClient> {
  return new KubeClient(await accessBy(kubeconfig, options));
}
