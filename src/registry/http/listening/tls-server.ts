// A listener that speaks TLS, and says so to who does not: a client that was told http would see its connection close, and nothing else.

import type { RequestListener } from "node:http";
import { createServer, type Server, type ServerOptions } from "node:https";
import type { Socket } from "node:net";

import type { Logger } from "../../../observability/logger.ts";
import { answerNoTls } from "./bad-http.ts";
import type { Certificate, KeyPair } from "./certificate.ts";

/** Milliseconds for the greeting of TLS, and for its first byte. */
const handshakeTimeout = 15_000;
/** The first byte of TLS: a record of its handshake. */
const greeting = 0x16;

export interface TlsOptions {
  readonly certificate: Certificate;
  readonly logger: Logger;
}

/** HTTP/1.1, as without TLS (docs/adr/0027-http-1-over-tls.md). No client is asked for a certificate. */
export function createTlsServer({ certificate, logger }: TlsOptions, options: ServerOptions, handle: RequestListener): Server {
  const server = createServer({ ...options, ...contextOf(certificate.current), handshakeTimeout }, handle);
  certificate.onChange((pair) => server.setSecureContext(contextOf(pair)));
  // Mostly clients that do not trust the authority, and theirs is the better message.
  server.on("tlsClientError", (error: NodeJS.ErrnoException, { remoteAddress }) =>
    logger.debug({ event: "tls-refused", code: error.code, source: remoteAddress }, error.message),
  );
  const [greet] = server.listeners("connection") as [(this: Server, socket: Socket) => void];
  server.removeAllListeners("connection");
  server.on("connection", (socket: Socket) => {
    const end = () => socket.destroy();
    const look = () => {
      const first = socket.read() as Buffer | null;
      if (first === null) return;
      socket.off("readable", look).off("end", end).off("timeout", end).setTimeout(0);
      if (first[0] === greeting) {
        socket.unshift(first);
        greet.call(server, socket);
        return;
      }
      answerNoTls(socket);
    };
    socket.on("error", end).once("end", end).on("timeout", end).setTimeout(handshakeTimeout);
    socket.on("readable", look);
  });
  return server;
}

/** With forward secrecy and authenticated encryption alone: whoever gets the key later reads nothing of what he recorded. Every client in use has one of them. */
const ciphers = ["TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256", "ECDHE+AESGCM", "ECDHE+CHACHA20"].join(
  ":",
);

function contextOf({ cert, key }: KeyPair) {
  return { cert, key, ciphers, minVersion: "TLSv1.2" } as const;
}
