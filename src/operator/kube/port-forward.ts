// A connection to a port of a Pod by way of the API server and the kubelet, as `kubectl port-forward` has one: a WebSocket to the Pod's
// subresource `portforward`. What goes over it is in the messages of channel 0, why it ended in those of channel 1; the first message of each
// repeats the port (`v4.channel.k8s.io`; k8s.io/kubelet, pkg/cri/streaming/portforward/websocket.go).

import type { IncomingMessage } from "node:http";
import { Duplex } from "node:stream";

import { WebSocket } from "ws";

import type { ClusterAccess } from "./credentials.ts";
import { errorOf, KubeError } from "./errors.ts";
import { fieldManager, paths } from "./objects.ts";

export interface PodPort {
  readonly namespace: string;
  readonly pod: string;
  readonly port: number;
}

const protocol = "v4.channel.k8s.io";
const channels = { data: 0, error: 1 } as const;
const opensWithin = 15_000;
/** Balancers before an API server give up what is silent for a minute or more. Milliseconds. */
const pingEvery = 20_000;
/** Of a message. They have 32 KiB. */
const maxPayload = 1024 * 1024;
/** Of a refusal, read. */
const maxRefusal = 64 * 1024;

/**
 * One connection: nothing listens anywhere, so nobody else on this machine can use it. Resolves when the kubelet has taken it; whether anybody
 * listens in the Pod shows later, as an error of the stream. Rejects with KubeError.
 */
export async function connectToPod(access: ClusterAccess, { namespace, pod, port }: PodPort): Promise<Duplex> {
  const { authorization, headers, tls } = await access.credentials();
  const given = Object.fromEntries(Object.entries(tls).filter(([, value]) => value !== undefined));
  const socket = new WebSocket(`${access.server}${paths.pods(namespace)}/${pod}/portforward?ports=${port}`, protocol, {
    ...given,
    headers: { "user-agent": fieldManager, ...headers, ...(authorization === undefined ? {} : { authorization }) },
    handshakeTimeout: opensWithin,
    perMessageDeflate: false,
    maxPayload,
  });
  // Taken before it opens: the first messages come right behind.
  const connection = new Connection(socket);
  try {
    await opened(socket, access);
  } catch (error) {
    connection.destroy();
    throw error;
  }
  return connection;
}

function opened(socket: WebSocket, { server }: ClusterAccess): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once("open", resolve);
    socket.once("error", (cause) => reject(new KubeError(0, `No answer from the API server at ${server}: ${cause.message}`, { cause })));
    socket.once("unexpected-response", (_, response) => {
      void textOf(response).then((text) => reject(errorOf(response.statusCode ?? 0, text)));
    });
  });
}

async function textOf(response: IncomingMessage): Promise<string> {
  let text = "";
  try {
    for await (const chunk of response.setEncoding("utf8")) {
      text += chunk as string;
      if (text.length > maxRefusal) break;
    }
  } catch {
    // What came says enough.
  }
  return text;
}

class Connection extends Duplex {
  readonly #socket: WebSocket;
  readonly #ping: NodeJS.Timeout;
  /** Channels whose first message has come. */
  readonly #begun = new Set<number>();

  constructor(socket: WebSocket) {
    super({ allowHalfOpen: false });
    this.#socket = socket;
    this.#ping = setInterval(() => socket.readyState === WebSocket.OPEN && socket.ping(), pingEvery).unref();
    socket.on("message", (message: Buffer) => this.#take(message));
    socket.on("error", (error) => this.destroy(error));
    socket.on("close", () => this.push(null));
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#socket.send(Buffer.concat([Buffer.of(channels.data), chunk]), done);
  }

  /** There is no word for half an end. */
  override _final(done: () => void): void {
    this.#socket.close();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearInterval(this.#ping);
    this.#socket.terminate();
    done(error);
  }

  #take(message: Buffer): void {
    const [channel = -1] = message;
    if (!this.#begun.has(channel)) {
      this.#begun.add(channel);
      return;
    }
    const content = message.subarray(1);
    if (channel === channels.error) this.destroy(new Error(content.toString("utf8")));
    else if (content.length > 0 && !this.push(content)) this.#socket.pause();
  }
}
