// How a process takes an address for a small listener of its own: one that cannot be had is said with the option that chooses another.

import type { Server } from "node:http";
import type { AddressInfo } from "node:net";

import type { ListenAddress } from "../config/listen.ts";

export interface Listener {
  /** For the message: `The probes`. */
  readonly what: string;
  readonly option: string;
}

export interface Listening {
  readonly port: number;
  /** Resolves when nothing is connected any more: whoever is, is cut off. */
  stop(): Promise<void>;
}

/** Rejects when the address cannot be listened on. */
export async function listening(server: Server, { host, port }: ListenAddress, { what, option }: Listener): Promise<Listening> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) =>
      reject(
        new Error(`${what} cannot listen on ${host}:${port} (${cause.code ?? cause.message}): choose another address with ${option}.`, {
          cause,
        }),
      ),
    );
    server.listen(port, host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
