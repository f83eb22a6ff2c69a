// The operator's own ports: an address that cannot be had is said with the option that chooses another.

import type { Server } from "node:http";

import type { ListenAddress } from "../config/listen.ts";

export interface Listener {
  /** For the message: `The probes`. */
  readonly what: string;
  readonly option: string;
}

/** Rejects when the address cannot be listened on. */
export function listening(server: Server, { host, port }: ListenAddress, { what, option }: Listener): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) =>
      reject(
        new Error(`${what} cannot listen on ${host}:${port} (${cause.code ?? cause.message}): choose another address with ${option}.`, {
          cause,
        }),
      ),
    );
    server.listen(port, host, resolve);
  });
}
