// A Service as kube-proxy makes one of Pods: a new connection goes to an endpoint that was ready some moments ago, and stays there.

import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

import { send } from "./http.ts";

/** One Pod: where its clients go, and where its kubelet asks. */
export interface Endpoint {
  readonly url: string;
  readonly adminUrl: string;
}

export interface ClusterService {
  readonly port: number;
  /** Ready, as far as it is known here. */
  readonly ready: readonly Endpoint[];
  add(endpoint: Endpoint): void;
  stop(): Promise<void>;
}

/** Milliseconds: a kubelet asks more rarely, and its word takes longer. */
const [askEvery, takes] = [100, 500];

export async function startClusterService(): Promise<ClusterService> {
  const pods = new Set<Endpoint>();
  const ready = new Set<Endpoint>();
  const open = new Set<Socket>();
  const stopping = new AbortController();
  let turn = 0;
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const endpoint = [...ready][turn++ % Math.max(1, ready.size)];
    if (endpoint === undefined) return void client.destroy();
    const pod = connect({ port: Number(new URL(endpoint.url).port), host: "127.0.0.1", allowHalfOpen: true });
    for (const [from, to] of [
      [client, pod],
      [pod, client],
    ] as const) {
      open.add(from);
      from.on("error", () => to.destroy()).once("close", () => open.delete(from) && to.destroy());
      from.pipe(to);
    }
  });
  const look = async (endpoint: Endpoint): Promise<void> => {
    const status = await send(endpoint.adminUrl, "GET", "/readyz").then(
      (reply) => reply.status,
      () => 0,
    );
    const isReady = status === 200;
    if (isReady === ready.has(endpoint)) return;
    await sleep(takes);
    if (isReady) ready.add(endpoint);
    else ready.delete(endpoint);
  };
  const loop = (async () => {
    while (!stopping.signal.aborted) {
      await Promise.all([...pods].map(look));
      await sleep(askEvery, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  })();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    get ready() {
      return [...ready];
    },
    add: (endpoint) => void pods.add(endpoint),
    stop: async () => {
      stopping.abort();
      await loop;
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
