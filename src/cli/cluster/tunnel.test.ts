// What speaks at the other end of a tunnel, found out by asking it.

import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { duplexPair, type Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createServer as createTlsServer, TLSSocket } from "node:tls";

import { afterEach, expect, test } from "vitest";

import { createCertificates } from "../../../test/support/certificates.ts";
import { Tunnel } from "./tunnel.ts";

const servers: Server[] = [];
const sockets: Socket[] = [];
const opened: Duplex[] = [];
afterEach(() => {
  opened.splice(0);
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) server.close();
});

async function tunnelTo(server: Server): Promise<Tunnel> {
  servers.push(server.listen(0, "127.0.0.1"));
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return new Tunnel(async () => {
    const socket = connect(port, "127.0.0.1");
    await once(socket, "connect");
    // Like a connection to a Pod it is no socket itself.
    const [stream, end] = duplexPair();
    void pipeline(socket, end, socket).catch(() => undefined);
    sockets.push(socket);
    opened.push(stream);
    return stream;
  });
}

test("TLS where the port speaks it", async () => {
  const { server } = await createCertificates();
  const tunnel = await tunnelTo(createTlsServer(server));
  for (let connections = 1; connections <= 2; connections++) {
    expect(await tunnel.connect()).toBeInstanceOf(TLSSocket);
    expect(opened).toHaveLength(connections);
  }
});

test("plain where it answers in another language, and from then on without a question", async () => {
  const tunnel = await tunnelTo(createHttpServer());
  expect(await tunnel.connect()).toBe(opened[1]);
  expect(await tunnel.connect()).toBe(opened[2]);
});

test("a connection that breaks without a word, or TLS that refuses, is not asked plainly", async () => {
  const silent = await tunnelTo(createServer((socket) => socket.destroy()));
  await expect(silent.connect()).rejects.toThrow("disconnected before secure TLS connection was established");
  expect(opened).toHaveLength(1);
  // Without a certificate every handshake fails, by an alert.
  const refusing = await tunnelTo(createTlsServer({}));
  await expect(refusing.connect()).rejects.toThrow(/alert handshake failure/);
  expect(opened).toHaveLength(2);
});
