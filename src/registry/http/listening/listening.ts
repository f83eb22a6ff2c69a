// The listener's two moments: when it opens, and when it closes without cutting what runs.

import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo, Server } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

import type { FastifyInstance } from "fastify";

import type { Logger } from "../../../observability/logger.ts";
import { memoryOfProcess } from "../limits/pressure.ts";

export interface Address {
  readonly host: string;
  readonly port: number;
  /** That chooses another one: `--listen`. */
  readonly option: string;
}

/**
 * Resolves with the address as a client writes it, `http://127.0.0.1:5000`, with the port that was taken for port 0. Rejects with an Error that says
 * what to do.
 */
export async function listen(app: FastifyInstance, address: Address, { tls }: { readonly tls: boolean }): Promise<string> {
  const { host, port } = address;
  await app.listen({ host, port }).catch((error: unknown) => {
    throw explained(error, address);
  });
  const taken = (app.server.address() as AddressInfo).port;
  const shown = host === "0.0.0.0" || host === "::" ? "localhost" : host;
  return `http${tls ? "s" : ""}://${shown.includes(":") ? `[${shown}]` : shown}:${taken}`;
}

/** What to do, for whoever chose the address. */
export function explained(error: unknown, { host, port, option }: Address): unknown {
  const where = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  switch ((error as NodeJS.ErrnoException).code ?? "") {
    case "EADDRINUSE": {
      const airplay = process.platform === "darwin" && port === 5000 ? " (on macOS often the AirPlay Receiver)" : "";
      return new Error(
        `${where} is in use by another program${airplay}. Stop it, or choose another address with ${option}; port 0 takes any free one.`,
        { cause: error },
      );
    }
    case "EADDRNOTAVAIL":
      return new Error(`${where} is no address of this machine. Choose another one with ${option}.`, { cause: error });
    case "EACCES":
      return new Error(`Not allowed to listen on ${where}. Ports below 1024 belong to root: choose another one with ${option}.`, {
        cause: error,
      });
    default:
      return error;
  }
}

const defaultConnections = 10_000;

/** Bytes: what TLS and HTTP keep for a connection whose client says nothing more is 40 KiB, and its headers may be 16. */
const memoryOfConnection = 64 * 1024;

/**
 * Connections to accept at once: half of the descriptors, since a transfer needs a file beside its socket, and no more than a quarter of the memory
 * holds: containers have a million descriptors, and who fills them would have the process killed.
 */
export function connectionLimit(limitsFile = "/proc/self/limits", memory = memoryOfProcess().limit): number {
  return Math.max(1, Math.min(ofDescriptors(limitsFile), Math.floor(memory / 4 / memoryOfConnection)));
}

function ofDescriptors(limitsFile: string): number {
  let limits = "";
  try {
    limits = readFileSync(limitsFile, "utf8");
  } catch {
    // Not a Linux: the default.
  }
  const descriptors = /^Max open files +(\d+) /m.exec(limits)?.[1];
  return descriptors === undefined ? defaultConnections : Math.floor(Number(descriptors) / 2);
}

export interface ConnectionShares {
  readonly data: number;
  readonly control: number;
}

/** What is left of the data listener's connections where the control API has a listener of its own, and what that gets of them. */
export function connectionShares(all = connectionLimit()): ConnectionShares {
  // Operator, jobs and people are few; however many pull, they are heard.
  const control = Math.max(1, Math.min(Math.floor(all / 8), 512));
  return { data: Math.max(1, all - control), control };
}

/** Milliseconds between two lines about connections that found no place: there may be thousands a second. */
const reportEvery = 5_000;

/** Logs how many connections the server closed at once since it, or their source, has as many as there may be. */
export function reportDropped(server: Server, logger: Logger): void {
  let dropped = 0;
  let timer: NodeJS.Timeout | undefined;
  const report = () => {
    timer = undefined;
    const limit = server.maxConnections;
    logger.warn(
      { event: "connections-dropped", dropped, limit },
      `${dropped} connections were closed unheard: there may be ${limit} at once, half of them of one address that is no proxy of access.trustedProxies`,
    );
    dropped = 0;
  };
  server.on("drop", () => {
    dropped++;
    timer ??= setTimeout(report, reportEvery).unref();
  });
  server.on("close", () => {
    if (timer === undefined) return;
    clearTimeout(timer);
    report();
  });
}

/** From now on an answer ends its connection: whoever asks again comes to another process, where there is one. Connections are still taken. */
export function leave({ server }: FastifyInstance): void {
  server.prependListener("request", (_: IncomingMessage, response: ServerResponse) => (response.shouldKeepAlive = false));
}

/** Running transfers go on for `grace` milliseconds; connections that carry nothing end at once. */
export async function drain(app: FastifyInstance, { grace }: { readonly grace: number }): Promise<void> {
  const { server } = app;
  const closed = once(server, "close").then(() => true);
  server.close();
  const deadline = performance.now() + grace;
  do {
    if (performance.now() > deadline) server.closeAllConnections();
    else server.closeIdleConnections();
  } while (!(await Promise.race([closed, sleep(50, false)])));
  await app.close();
}
