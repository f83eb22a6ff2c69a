import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";

import { afterEach, beforeEach, expect, test } from "vitest";

import { shareConnections } from "./connection-places.ts";

const most = 8;
/** Documentation's addresses, in the place of those that the system says: every real one here is loopback. */
const addresses: string[] = [];
let server: Server;
let port: number;
const sockets: Socket[] = [];

beforeEach(async () => {
  server = createServer((_, response) => response.end("here"));
  server.maxConnections = most;
  server.keepAliveTimeout = 620_000;
  shareConnections(server, { most, isProxy: (address) => address === "192.0.2.80" });
  server.prependListener("connection", (socket: Socket) =>
    Object.defineProperty(socket, "remoteAddress", { value: addresses.shift() ?? "127.0.0.1" }),
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  ({ port } = server.address() as AddressInfo);
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  addresses.splice(0);
  server.close();
  await once(server, "close");
});

async function open(address: string): Promise<Socket> {
  addresses.push(address);
  const socket = connect(port, "127.0.0.1").on("error", () => {});
  sockets.push(socket);
  await once(socket, "connect");
  return socket;
}

/** What comes for a request, or "" when the connection ends without. */
async function answerTo(socket: Socket): Promise<string> {
  const heard = Promise.race([once(socket, "data"), once(socket, "close").then(() => [""])]);
  socket.write("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n");
  return String((await heard)[0]);
}

async function openMany(count: number, address: string): Promise<readonly Socket[]> {
  const opened: Socket[] = [];
  for (let n = 0; n < count; n++) opened.push(await open(address));
  return opened;
}

test("one source has half of the places, others have theirs, and what it closes it has again", async () => {
  const [first] = await openMany(4, "192.0.2.7");
  expect(await answerTo(await open("192.0.2.7"))).toBe("");
  expect(await answerTo(await open("192.0.2.8"))).toContain("here");
  first?.destroy();
  while ((await connections()) > 4) await new Promise(setImmediate);
  expect(await answerTo(await open("192.0.2.7"))).toContain("here");
});

test("of IPv6 a source is what one subscriber has; proxies and this machine are many", async () => {
  await openMany(4, "2001:db8::7");
  expect(await answerTo(await open("2001:db8::8"))).toBe("");
  expect(await answerTo(await open("2001:db8:0:1::8"))).toContain("here");
  for (const socket of sockets.splice(0)) socket.destroy();
  while ((await connections()) > 0) await new Promise(setImmediate);
  await openMany(5, "192.0.2.80");
  expect(await answerTo(await open("192.0.2.80"))).toContain("here");
  expect(await answerTo(await open("127.0.0.1"))).toContain("here");
});

test("who asks nothing makes room when few places are left, who waits for an answer does not", async () => {
  const [busy, ...idle] = [await open("192.0.2.1"), ...(await openMany(3, "192.0.2.2")), ...(await openMany(2, "192.0.2.3"))];
  for (const socket of idle) expect(await answerTo(socket)).toContain("here");
  busy.write("GET / HTTP/1.1\r\nhost: ");
  const ended = Promise.all(idle.map((socket) => once(socket, "close")));
  expect(await answerTo(await open("192.0.2.4"))).toContain("here");
  await ended;
  const heard = once(busy, "data");
  busy.write("localhost\r\n\r\n");
  expect(String((await heard)[0])).toContain("here");
});

function connections(): Promise<number> {
  return new Promise((resolve) => server.getConnections((_, count) => resolve(count)));
}
