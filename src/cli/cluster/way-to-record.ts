// A way for a person's git to the record on the operator's volume: it listens on 127.0.0.1 as long as git runs, and each connection goes through the
// API server into the operator's Pod, as with `kubectl port-forward`. Who else is on this machine may connect, and has no token.

import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { pipeline } from "node:stream/promises";

import type { GitWay } from "../../record/clone.ts";
import { AdminToken, type AccountValues } from "./admin-token.ts";
import type { Cluster } from "./open-cluster.ts";
import { RegistryPods } from "./registry-pods.ts";
import type { GivenToken } from "./through-cluster.ts";

export interface WayToRecord extends GitWay {
  /** Why a connection came to nothing, in better words than git's. */
  failure(): Error | undefined;
  close(): Promise<void>;
}

/** Rejects with CommandError. */
export async function openWayToRecord(cluster: Cluster, values: AccountValues, given: GivenToken | undefined): Promise<WayToRecord> {
  const pods = await RegistryPods.findOperator(cluster);
  const token = given?.token ?? (await new AdminToken(cluster, values, pods.first.audience, "operator").token());
  let failure: Error | undefined;
  const open = new Set<Socket>();
  const join = async (socket: Socket): Promise<void> => {
    open.add(socket);
    // Also while the way to the Pod is still being opened.
    socket.on("error", () => undefined).once("close", () => open.delete(socket));
    const pod = await pods.connect().catch((error: Error) => {
      failure = error;
      socket.destroy();
    });
    // git that goes first is no failure.
    pod?.once("error", (error: Error) => (failure ??= socket.destroyed ? undefined : error));
    if (pod !== undefined) await pipeline(socket, pod, socket).catch(() => undefined);
  };
  const server = createServer((socket) => void join(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    name: `wharfinger://${cluster.namespace}/record`,
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    token,
    failure: () => failure,
    close: async () => {
      const closed = once(server, "close");
      server.close();
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}
