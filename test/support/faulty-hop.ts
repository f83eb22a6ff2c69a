// A hop before a real HTTP service that does to chosen requests what networks and services do. The Host header passes, so signatures hold.

import { createServer, request as send, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

export type Fault =
  /** An answer of the hop in the place of the service's. */
  | { readonly answer: number; readonly body?: string; readonly headers?: Readonly<Record<string, string>> }
  /** The connection breaks before the service hears of it. */
  | "refused"
  /** The service does it, and nobody hears of it. */
  | "lost answer"
  /** The service does it, and the answer is 200 with an error as its body. */
  | "error in 200"
  /** The answer breaks in the middle of its body. */
  | "cut answer"
  /** The answer stops in the middle of its body, and the connection stays. */
  | "stalled answer"
  /** The connection breaks in the middle of the request's body, for the service too. */
  | "cut request"
  /** Nobody answers, and the connection stays. */
  | "silence"
  /** Nothing comes for so many milliseconds. */
  | { readonly slow: number }
  /** The service hears of it when this has resolved. */
  | { readonly after: Promise<unknown> };

export interface FaultyHop {
  readonly url: string;
  /** Does it to the next `times` requests (once by default) that match, given as `METHOD /path?query`. */
  fail(matching: RegExp, fault: Fault, times?: number): void;
  /** Forgets what it was to do. */
  calm(): void;
  /** How often a fault was done, every request, and those that the service has answered. */
  readonly done: readonly string[];
  readonly requests: readonly string[];
  readonly answered: readonly string[];
  /** What was read of objects since the last call: `bytes` of the bodies of answers. */
  reads(): { readonly requests: number; readonly bytes: number };
  stop(): Promise<void>;
}

export async function startFaultyHop(target: string): Promise<FaultyHop> {
  const { hostname, port } = new URL(target);
  const waiting: { matching: RegExp; fault: Fault; left: number }[] = [];
  const done: string[] = [];
  const requests: string[] = [];
  const answered: string[] = [];
  let read = { requests: 0, bytes: 0 };

  const faultOf = (line: string): Fault | undefined => {
    const found = waiting.find(({ matching, left }) => left > 0 && matching.test(line));
    if (found === undefined) return undefined;
    found.left--;
    done.push(line);
    return found.fault;
  };
  const handle = async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
    const line = `${incoming.method ?? ""} ${incoming.url ?? ""}`;
    requests.push(line);
    const fault = faultOf(line);
    if (fault === "refused") return void incoming.socket.destroy();
    if (fault === "silence") return void incoming.resume();
    if (typeof fault === "object" && "answer" in fault) {
      incoming.resume();
      await text(incoming);
      outgoing.writeHead(fault.answer, { "content-type": "application/xml", ...fault.headers }).end(fault.body);
      return;
    }
    if (typeof fault === "object" && "after" in fault) await fault.after;
    else if (typeof fault === "object") await new Promise((resolve) => setTimeout(resolve, fault.slow));
    const { method, url, headers } = incoming;
    const readsObject = /^GET \/[^?]+\/blobs\/[^/?]+(\?x-id=GetObject)?$/.test(line);
    if (readsObject) read.requests++;
    const onward = send({ hostname, port, method, path: url, headers }, (answer) => {
      answered.push(line);
      if (fault === "lost answer") return void answer.resume().on("end", () => incoming.socket.destroy());
      if (fault === "error in 200") {
        answer.resume();
        outgoing.writeHead(200, { "content-type": "application/xml" }).end("<Error><Code>InternalError</Code></Error>");
        return;
      }
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      if (readsObject) answer.on("data", (piece: Buffer) => (read.bytes += piece.byteLength));
      if (fault !== "cut answer" && fault !== "stalled answer") return void answer.pipe(outgoing);
      answer.once("data", (piece: Buffer) => {
        outgoing.write(piece.subarray(0, Math.ceil(piece.byteLength / 2)), () => {
          if (fault === "cut answer") incoming.socket.destroy();
        });
        answer.destroy();
      });
    });
    onward.on("error", () => incoming.socket.destroy());
    if (fault !== "cut request") return void incoming.pipe(onward);
    const cut = () => {
      onward.destroy();
      incoming.socket.destroy();
    };
    incoming.once("end", cut).once("data", (piece: Buffer) => void onward.write(piece.subarray(0, Math.ceil(piece.byteLength / 2)), cut));
  };
  const server = createServer((incoming, outgoing) => void handle(incoming, outgoing));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    fail: (matching, fault, times = 1) => void waiting.push({ matching, fault, left: times }),
    calm: () => void waiting.splice(0),
    done,
    requests,
    answered,
    reads: () => {
      const before = read;
      read = { requests: 0, bytes: 0 };
      return before;
    },
    stop: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
