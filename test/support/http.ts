// Plain HTTP for tests that look at every header: nothing is added, decoded or followed.

import { once } from "node:events";
import { request, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import { request as requestByTls } from "node:https";
import { connect } from "node:net";

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly json: () => unknown;
  /** Code of the first error of the body. */
  readonly code: () => string | undefined;
}

export interface Sent {
  readonly headers?: Readonly<Record<string, string | string[]>>;
  readonly body?: string | Uint8Array;
  /** Who may have signed the certificate of an https address. */
  readonly ca?: string;
}

/** One request on a connection of its own; `path` goes out as it is. Content-Length unless the headers say `transfer-encoding`. */
export async function send(base: string, method: string, path: string, { headers = {}, body, ca }: Sent = {}): Promise<Reply> {
  const { protocol, hostname, port } = new URL(base);
  const outgoing = (protocol === "https:" ? requestByTls : request)({
    hostname,
    ca,
    port,
    method,
    path,
    agent: false,
    headers: { ...("transfer-encoding" in headers ? {} : lengthOf(body)), ...headers },
  });
  outgoing.end(body);
  const [response] = (await once(outgoing, "response")) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  const bytes = Buffer.concat(chunks);
  const json = () => JSON.parse(bytes.toString("utf8")) as unknown;
  const code = () => (json() as { errors?: { code: string }[] }).errors?.[0]?.code;
  return { status: response.statusCode ?? 0, headers: response.headers, body: bytes, json, code };
}

function lengthOf(body: string | Uint8Array | undefined): Record<string, string> {
  return body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) };
}

/** Writes bytes to the socket and collects what comes until the other side closes it. */
export async function sendRaw(base: string, bytes: string | Uint8Array): Promise<string> {
  const { hostname, port } = new URL(base);
  const socket = connect(Number(port), hostname);
  let received = "";
  socket.on("data", (chunk) => (received += chunk.toString("latin1")));
  socket.on("error", () => {});
  socket.write(bytes);
  await once(socket, "close");
  return received;
}
