// Events of the Pod that a subcommand runs in, where there is one.

import { ownPod } from "../config/own-pod.ts";
import type { Logger } from "../observability/logger.ts";
import type { PodEvents } from "../operator/kube/pod-events.ts";

const nowhere: PodEvents = { announce: () => undefined, close: async () => undefined };

/** Never rejects: what cannot be said there is said in the log alone. */
export async function podEventsOf(role: string, logger: Logger): Promise<PodEvents> {
  const pod = ownPod();
  if (pod === undefined) return nowhere;
  // Loaded only in a Pod.
  const { openClusterAccess } = await import("../operator/kube/cluster-access.ts");
  const { openPodEvents } = await import("../operator/kube/pod-events.ts");
  try {
    return openPodEvents({ access: await openClusterAccess(), pod, role, logger });
  } catch (error) {
    logger.warn(`what is in the way is not said in events of this Pod: ${(error as Error).message}`);
    return nowhere;
  }
}
