// What a process says of the Pod that it runs in, as events there, with the Pod's own ServiceAccount: it may be any role's.

import type { Logger } from "../../observability/logger.ts";
import type { Announce } from "../../observability/obstacles.ts";
import type { ClusterAccess } from "./credentials.ts";
import { Events } from "./events.ts";
import { KubeClient } from "./kube-client.ts";

export interface PodEventsOptions {
  readonly access: ClusterAccess;
  readonly pod: { readonly name: string; readonly namespace: string; readonly uid: string };
  /** What runs in it: `registry`. */
  readonly role: string;
  readonly logger: Logger;
}

export interface PodEvents {
  readonly announce: Announce;
  /** After what is being written. */
  close(): Promise<void>;
}

export function openPodEvents({ access, pod, role, logger }: PodEventsOptions): PodEvents {
  const client = new KubeClient(access);
  const events = new Events({ client, instance: pod.name, controller: `wharfinger.dev/${role}`, action: "Start", logger });
  const regarding = { apiVersion: "v1", kind: "Pod", ...pod };
  // One after the other, so that the last one said is the last one written.
  let saying = Promise.resolve();
  return {
    announce: ({ type, reason, message }) => void (saying = saying.then(() => events.say(regarding, { type, reason, note: message }))),
    close: async () => {
      await saying;
      await client.close();
    },
  };
}
