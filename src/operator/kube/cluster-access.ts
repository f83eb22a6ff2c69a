// Where the API server is and who we are to it: of the pod that this process runs in, or of a kubeconfig.

import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";

import type { ClusterAccess } from "./credentials.ts";

/** Where the kubelet mounts them. */
const mounted = "/var/run/secrets/kubernetes.io/serviceaccount";

/** Rejects with an Error that says what to do. */
export async function openClusterAccess(environment: NodeJS.ProcessEnv = process.env, folder = mounted): Promise<ClusterAccess> {
  const [host, port] = [environment["KUBERNETES_SERVICE_HOST"], environment["KUBERNETES_SERVICE_PORT"]];
  const named = environment["KUBECONFIG"] ?? "";
  if (named !== "" || host === undefined || port === undefined) {
    const usual = join(homedir(), ".kube", "config");
    if (named === "" && !existsSync(usual)) {
      throw new Error(`There is no Kubernetes here: this is no pod, KUBECONFIG names no file, and there is no ${usual}. Set KUBECONFIG.`);
    }
    // Loaded only here: what a pod needs of a kubeconfig's client is ten lines (docs/adr says what it costs).
    const { accessOfKubeconfig } = await import("./kubeconfig.ts");
    return accessOfKubeconfig(named === "" ? usual : named);
  }
  const read = (file: string) =>
    readFile(join(folder, file), "utf8").catch((cause: NodeJS.ErrnoException) => {
      const message = `${join(folder, file)} cannot be read (${cause.code ?? cause.message}): the pod needs its ServiceAccount token (automountServiceAccountToken).`;
      throw new Error(message, { cause });
    });
  return {
    server: `https://${host.includes(":") ? `[${host}]` : host}:${port}`,
    namespace: (await read("namespace")).trim(),
    credentials: async () => ({ authorization: `Bearer ${(await read("token")).trim()}`, tls: { ca: await read("ca.crt") } }),
  };
}
