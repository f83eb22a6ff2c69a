import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";

import { afterEach, beforeEach, expect, test } from "vitest";

import { eventually } from "../../test/support/eventually.ts";
import { makeRoom } from "./make-room.ts";

const most = 8;
/** In the place of those that the system says: every real one here is loopback. */
const addresses: string[] = [];
let server: Server;
const sockets: Socket[] = [];

beforeEach(async () => {
  server = createServer((_, response) => response.end("here"));
  makeRoom(server, most);
  server.prependListener("connection", (socket: Socket) => Object.defineProperty(socket, "remoteAddress", { value: addresses.shift() }));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  server.close();
  await once(server, "close");
});

async function open(address: string): Promise<Socket> {
  addresses.push(address);
  const accepted = once(server, "connection");
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1").on("error", () => {});
  sockets.push(socket);
  await Promise.all([accepted, once(socket, "connect")]);
  return socket;
}

/** What comes for a request, or "" when the connection ends without. */
async function answerTo(socket: Socket): Promise<string> {
  const heard = Promise.race([once(socket, "data"), once(socket, "close").then(() => [""])]);
  socket.write("GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
  return String((await heard)[0]);
}

test("whoever holds all places closes his own, and a probe is always heard", async () => {
  const held: Socket[] = [];
  for (let n = 0; n < 3 * most; n++) held.push(await open("192.0.2.7"));
  for (const socket of held.slice(0, -most)) if (!socket.destroyed) await once(socket, "close");
  const probe = await open("192.0.2.1");
  for (let n = 0; n < 3 * most; n++) await open("192.0.2.7");
  expect(await answerTo(probe)).toContain("here");
  expect(await answerTo(await open("192.0.2.1"))).toContain("here");
});

test("where everybody has one, the new one finds no place, until somebody goes", async () => {
  const held: Socket[] = [];
  for (let n = 0; n < most; n++) held.push(await open(`192.0.2.${n}`));
  expect(await answerTo(await open("192.0.2.99"))).toBe("");
  expect(await answerTo(held[0]!)).toContain("here");
  await eventually(async () => expect(await answerTo(await open("192.0.2.99"))).toContain("here"));
});
