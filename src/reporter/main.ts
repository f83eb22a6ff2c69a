// The reporter, wired by hand: a cluster, a registry, and one that tells the other.

import type { WorkloadReport, WorkloadsHeard } from "../api/control/workloads.ts";
import { ControlClient } from "../client/control-client.ts";
import type { Logger } from "../observability/logger.ts";
import type { Announce } from "../observability/obstacles.ts";
import { openCluster } from "./kubernetes.ts";
import { Reporter } from "./reporter.ts";

export interface ReporterProcessOptions {
  /** The registry's control API: scheme://host:port. */
  readonly registry: string;
  /** Whom its certificate is trusted from; undefined: whom Node knows. */
  readonly ca?: string;
  /** Read again for every report: projected tokens are replaced all the time. */
  readonly tokenFile: string;
  /** What the registry's settings call the cluster. */
  readonly cluster: string;
  /** Undefined: that of the environment, or of the Pod that this runs in. */
  readonly kubeconfig?: string;
  readonly namespaces: readonly string[];
  /** Events of the Pod that this runs in. */
  readonly announce?: Announce;
  readonly logger: Logger;
}

export function createReporter({
  registry,
  ca,
  tokenFile,
  cluster,
  kubeconfig,
  namespaces,
  announce,
  logger,
}: ReporterProcessOptions): Reporter {
  const send = async (report: WorkloadReport): Promise<WorkloadsHeard> => {
    const control = new ControlClient({ url: registry, caFile: ca, tokenFile });
    try {
      return await control.reportWorkloads(cluster, report);
    } finally {
      await control.close();
    }
  };
  return new Reporter({ cluster: openCluster(kubeconfig), namespaces, send, announce, logger });
}
