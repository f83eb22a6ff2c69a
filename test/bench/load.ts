// Load from a few keep-alive sockets: requests are written as they are, answers are counted by length and thrown away.

import { connect, type Socket } from "node:net";
import { connect as connectByTls } from "node:tls";

export interface LoadOptions {
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly connections: number;
  /** Requests in all. */
  readonly requests: number;
  /** TLS, and who may have signed the certificate. */
  readonly ca?: string;
  /** A connection for each request. */
  readonly each?: boolean;
}

export interface LoadResult {
  readonly seconds: number;
  readonly bytes: number;
}

/** Rejects at the first answer that is not 200. */
export async function load(options: LoadOptions): Promise<LoadResult> {
  const lines = Object.entries({ host: `${options.host}:${options.port}`, ...options.headers }).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  );
  const request = `GET ${options.path} HTTP/1.1\r\n${lines.join("")}\r\n`;
  const budget = { left: options.requests };
  const started = performance.now();
  const bytes = await Promise.all(Array.from({ length: options.connections }, () => oneConnection(options, request, budget)));
  return { seconds: (performance.now() - started) / 1000, bytes: bytes.reduce((total, count) => total + count, 0) };
}

function oneConnection(options: LoadOptions, request: string, budget: { left: number }): Promise<number> {
  return new Promise((resolve, reject) => {
    let total = 0;
    let done = false;
    /** Body bytes still to come of the running answer; undefined: its head is not complete yet. */
    let rest: number | undefined;
    let head = "";
    let socket: Socket;
    const next = () => {
      if (budget.left-- <= 0) {
        done = true;
        socket.destroy();
        resolve(total);
        return;
      }
      rest = undefined;
      head = "";
      socket.write(request);
    };
    const take = (count: number, buffer: Uint8Array): boolean => {
      let offset = 0;
      if (rest === undefined) {
        head += Buffer.from(buffer.buffer, buffer.byteOffset, count).toString("latin1");
        const end = head.indexOf("\r\n\r\n");
        if (end < 0) return true;
        if (!head.startsWith("HTTP/1.1 200")) {
          socket.destroy();
          reject(new Error(head.slice(0, end)));
          return false;
        }
        rest = Number(/content-length: (\d+)/i.exec(head)?.[1]);
        offset = count - (head.length - end - 4);
      }
      rest -= count - offset;
      total += count - offset;
      if (rest > 0) return true;
      if (options.each !== true) next();
      else {
        // The one that follows is another connection's.
        socket.removeAllListeners("close").destroy();
        open();
      }
      return true;
    };
    const { host, port, ca } = options;
    const open = () => {
      if (ca === undefined) {
        socket = connect({ host, port, onread: { buffer: Buffer.allocUnsafe(1024 * 1024), callback: take } });
        socket.on("connect", next);
      } else {
        socket = connectByTls({ host, port, ca });
        socket.on("secureConnect", next).on("data", (chunk: Buffer) => take(chunk.length, chunk));
      }
      socket.on("error", reject);
      socket.on("close", () => !done && reject(new Error("the server closed the connection before it had answered")));
    };
    open();
  });
}
