// The cluster that a person means: by --kubeconfig and --context, else as kubectl finds it.

import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

import { openClusterAccess } from "../../operator/kube/cluster-access.ts";
import type { ClusterAccess } from "../../operator/kube/credentials.ts";
import { KubeClient } from "../../operator/kube/kube-client.ts";
import { CommandError } from "../failure.ts";

export interface ClusterValues {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly namespace?: string;
}

export interface Cluster {
  readonly access: ClusterAccess;
  readonly client: KubeClient;
  /** Of the registry, and of resources that are named without one. */
  readonly namespace: string;
  /** For messages: `context dev`. */
  readonly name: string;
}

/** Whether there is one that nobody has to name. */
export function isInReach(environment: NodeJS.ProcessEnv = process.env): boolean {
  return kubeconfigOf({}, environment) !== undefined || environment["KUBERNETES_SERVICE_HOST"] !== undefined;
}

/** Runs `work` with a client of the cluster's API server. Rejects with CommandError where there is none. */
export async function withCluster<T>(values: ClusterValues, work: (cluster: Cluster) => Promise<T>): Promise<T> {
  const access = await accessTo(values).catch((cause: Error) => {
    throw new CommandError(cause.message, { cause });
  });
  const client = new KubeClient(access);
  const name = access.context === undefined ? `the cluster at ${access.server}` : `context ${access.context}`;
  try {
    return await work({ access, client, namespace: values.namespace ?? access.namespace, name });
  } finally {
    await client.close();
  }
}

async function accessTo(values: ClusterValues): Promise<ClusterAccess> {
  const file = kubeconfigOf(values, process.env);
  if (file === undefined) {
    if (process.env["KUBERNETES_SERVICE_HOST"] === undefined)
      throw new Error("There is no kubeconfig: name one with --kubeconfig or KUBECONFIG, or a registry by its address with --registry.");
    if (values.context !== undefined) throw new Error("--context needs a kubeconfig: name it with --kubeconfig.");
    return openClusterAccess(process.env);
  }
  const { accessOfKubeconfig } = await import("../../operator/kube/kubeconfig.ts");
  return accessOfKubeconfig(file, { context: values.context });
}

/** As kubectl looks for it. */
function kubeconfigOf({ kubeconfig }: ClusterValues, environment: NodeJS.ProcessEnv): string | undefined {
  const named = kubeconfig ?? environment["KUBECONFIG"] ?? "";
  if (named !== "") return named;
  const usual = join(homedir(), ".kube", "config");
  return existsSync(usual) ? usual : undefined;
}
