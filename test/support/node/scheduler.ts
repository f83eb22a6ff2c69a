// What gives pods their node. It runs where the API server does.

import { join } from "node:path";

import type { ApiServer } from "../kubernetes.ts";
import { flags } from "../kubernetes-flags.ts";
import { launchServer, type LaunchedServer } from "../launched-server.ts";
import { tool } from "../tools.ts";

export async function startScheduler(api: ApiServer): Promise<LaunchedServer> {
  const kubeconfig = await api.user("system:kube-scheduler");
  const args = flags({
    kubeconfig,
    "authentication-kubeconfig": kubeconfig,
    "authorization-kubeconfig": kubeconfig,
    "authentication-skip-lookup": "true",
    "leader-elect": "false",
    // Nobody asks it anything: that it works is seen in pods.
    "secure-port": "0",
  });
  return launchServer(await tool("kube-scheduler"), args, { log: join(api.folder, "kube-scheduler.log") });
}
