import { once } from "node:events";
import { createServer, type Server, type ServerResponse } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";

import { afterEach, expect, test } from "vitest";

import { sendWhole } from "../answer.ts";
import { BlobBuffers } from "./blob-buffers.ts";
import { sendBlob } from "./blob-sender.ts";

const megabyte = 1024 * 1024;
const polling = { interval: 5 };
let server: Server | undefined;
const sockets: Socket[] = [];

afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  server?.closeAllConnections();
  server?.close();
});

type Send = (request: Parameters<typeof sendWhole>[0], response: ServerResponse, onStall: () => void) => Promise<void>;

const whole =
  (length: number, stallTimeout: number): Send =>
  (request, response, onStall) =>
    sendWhole(request, response, { status: 200, headers: {}, body: Buffer.alloc(length, "x") }, { stallTimeout, onStall });

/** Small blobs go out in one write: enough of them on one connection fill it. */
const smallBlob =
  (stallTimeout: number): Send =>
  (_, response, onStall) => {
    const reader = { size: 65_536, read: async (buffer: Uint8Array) => buffer.length, close: async () => {} };
    const head = () => response.writeHead(200, { "content-length": 65_536 });
    return sendBlob(response, head, { reader, start: 0, length: 65_536 }, { buffers: new BlobBuffers(), stallTimeout, onStall });
  };

async function serve(send: Send): Promise<{ port: number; stalls: () => number; open: () => number }> {
  let stalls = 0;
  let open = 0;
  server = createServer((request, response) => void send(request, response, () => stalls++));
  server.on("connection", (socket) => {
    open++;
    socket.once("close", () => open--);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { port: (server.address() as AddressInfo).port, stalls: () => stalls, open: () => open };
}

function ask(port: number, requests = 1): Socket {
  const socket = connect(port, "127.0.0.1");
  sockets.push(socket);
  socket.on("error", () => {});
  socket.pause();
  socket.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n".repeat(requests));
  return socket;
}

test.each([
  ["a whole answer", whole(32 * megabyte, 200), 1],
  ["small blobs, asked for one after another", smallBlob(200), 400],
])("a client that takes nothing of %s is cut", async (_, send, requests) => {
  const { port, stalls, open } = await serve(send);
  ask(port, requests);
  await expect.poll(stalls, polling).toBeGreaterThan(0);
  await expect.poll(open, polling).toBe(0);
});

test("a client that takes a whole answer slowly has all of it, and its connection goes on", async () => {
  const { port, stalls } = await serve(whole(32 * megabyte, 60_000));
  const socket = ask(port, 2);
  let taken = 0;
  socket.on("data", (chunk: Buffer) => {
    taken += chunk.length;
    socket.pause();
    setImmediate(() => socket.resume());
  });
  socket.resume();
  await expect.poll(() => taken, { interval: 20 }).toBeGreaterThan(64 * megabyte);
  expect(stalls()).toBe(0);
});
