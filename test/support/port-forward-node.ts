// The part of a kubelet that `kubectl port-forward` needs: a node of a real API server, which speaks the kubelet's own form of it (TLS, a WebSocket
// at /portForward; k8s.io/kubelet, pkg/cri/streaming/portforward/websocket.go) and joins it to programs of the test that stand for Pods.

import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:https";
import { connect, type AddressInfo, type Socket } from "node:net";

import { WebSocketServer, type WebSocket } from "ws";

import { createCertificates } from "./certificates.ts";
import type { KubernetesApi } from "./kubernetes-access.ts";

const portNames = ["registry", "control"];

export interface PodOptions {
  readonly namespace: string;
  readonly name: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  /** Port of the Pod → port of this machine. The first is called `registry`, the second `control`. */
  readonly ports: Readonly<Record<number, number>>;
  /** True by default. */
  readonly ready?: boolean;
}

export interface PortForwardNode {
  /** A Pod on this node, as its kubelet reports it. */
  startPod(pod: PodOptions): Promise<void>;
  /** The Pod ends, and connections to it break; the API server shows it as Ready for as long as the test wants. */
  breakPod(namespace: string, name: string): void;
  /** Connections that were forwarded so far, by Pod. */
  readonly forwarded: readonly string[];
  stop(): Promise<void>;
}

const channels = { data: 0, error: 1 } as const;

export async function startPortForwardNode(api: KubernetesApi): Promise<PortForwardNode> {
  const { server: pair } = await createCertificates();
  const name = `node-${randomBytes(4).toString("hex")}`;
  const pods = new Map<string, Readonly<Record<number, number>>>();
  const open = new Set<{ readonly pod: string; readonly end: () => void }>();
  const forwarded: string[] = [];
  const sockets = new WebSocketServer({
    noServer: true,
    handleProtocols: (offered) => offered.has("v4.channel.k8s.io") && "v4.channel.k8s.io",
  });
  const server = createServer(pair);
  server.on("upgrade", (request, socket, head) => {
    const url = new URL(request.url ?? "", "https://node");
    const [, pod = ""] = /^\/portForward\/([^/]+\/[^/]+)$/.exec(url.pathname) ?? [];
    const port = Number(url.searchParams.get("port"));
    if (!pods.has(pod)) return void socket.end("HTTP/1.1 404 Not Found\r\ncontent-length: 18\r\n\r\npod does not exist");
    sockets.handleUpgrade(request, socket, head, (opened) => {
      forwarded.push(pod);
      const entry = { pod, end: join(opened, pod, { port, local: pods.get(pod)?.[port] }) };
      open.add(entry);
      opened.on("close", () => open.delete(entry));
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  await send(api, "POST", "/api/v1/nodes", { metadata: { name } });
  await patchStatus(api, `/api/v1/nodes/${name}`, {
    addresses: [{ type: "InternalIP", address: "127.0.0.1" }],
    daemonEndpoints: { kubeletEndpoint: { Port: port } },
  });
  return {
    forwarded,
    startPod: async ({ namespace, name: pod, labels = {}, annotations = {}, ports, ready = true }) => {
      pods.set(`${namespace}/${pod}`, ports);
      const declared = Object.keys(ports).map((number, index) => ({
        containerPort: Number(number),
        ...(index < portNames.length ? { name: portNames[index] } : {}),
      }));
      const containers = [{ name: "registry", image: "example.com/registry", ports: declared }];
      const spec = { nodeName: name, automountServiceAccountToken: false, terminationGracePeriodSeconds: 0, containers };
      await send(api, "POST", `/api/v1/namespaces/${namespace}/pods`, { metadata: { name: pod, labels, annotations }, spec });
      const condition = { type: "Ready", status: ready ? "True" : "False", ...(ready ? {} : { message: "the database does not answer" }) };
      await patchStatus(api, `/api/v1/namespaces/${namespace}/pods/${pod}`, { phase: "Running", conditions: [condition] });
    },
    breakPod: (namespace, pod) => {
      pods.delete(`${namespace}/${pod}`);
      for (const entry of open) if (entry.pod === `${namespace}/${pod}`) entry.end();
    },
    stop: async () => {
      for (const { end } of open) end();
      server.close();
      server.closeAllConnections();
      await send(api, "DELETE", `/api/v1/nodes/${name}`);
    },
  };
}

/** As `handleWebSocketStreams` there. Returns what breaks it. */
function join(opened: WebSocket, pod: string, { port, local }: { readonly port: number; readonly local: number | undefined }): () => void {
  const say = (channel: number, content: Uint8Array) => opened.send(Buffer.concat([Buffer.of(channel), content]));
  const little = Buffer.alloc(2);
  little.writeUInt16LE(port);
  for (const channel of Object.values(channels)) say(channel, little);
  const target: Socket = connect(local ?? 1, "127.0.0.1");
  target.on("data", (chunk) => say(channels.data, chunk));
  target.on("error", (error) => say(channels.error, Buffer.from(`error forwarding port ${port} to pod ${pod}, uid : ${error.message}`)));
  target.on("close", () => opened.close());
  opened.on("message", (message: Buffer) => message[0] === channels.data && target.write(message.subarray(1)));
  opened.on("close", () => target.destroy());
  opened.on("error", () => target.destroy());
  return () => {
    opened.terminate();
    target.destroy();
  };
}

async function send(api: KubernetesApi, method: "POST" | "DELETE", path: string, body?: object): Promise<void> {
  const answer = await api.send(method, path, body === undefined ? {} : { body });
  if (answer.status > 299) throw new Error(`${method} ${path}: ${JSON.stringify(answer.body)}`);
}

async function patchStatus(api: KubernetesApi, path: string, status: object): Promise<void> {
  const contentType = "application/merge-patch+json";
  const answer = await api.send("PATCH", `${path}/status`, { contentType, body: { status } });
  if (answer.status !== 200) throw new Error(`${path}: ${JSON.stringify(answer.body)}`);
}
