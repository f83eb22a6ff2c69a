// The server that everybody in this process talks to: one, and a primary. When the address leads to another one, whatever is open to the one before
// is dropped at once, because it may still answer, and does not know what is deleted now.

import type { ClientBase } from "pg";

import { identify, isLeftBehind, sameServer, type ServerIdentity } from "./server-identity.ts";
import { DatabaseUnavailable } from "./unavailable.ts";

export class Primary {
  readonly #open = new Set<ClientBase>();
  readonly #onTrouble: (message: string) => void;
  readonly #patience: number;
  #known: ServerIdentity | undefined;

  /** `patience`: milliseconds for the server to say who it is. */
  constructor(options: { readonly patience: number; readonly onTrouble: (message: string) => void }) {
    this.#patience = options.patience;
    this.#onTrouble = options.onTrouble;
  }

  /** A new connection, before its first statement. Rejects with DatabaseUnavailable when it leads to no primary, or to one that was replaced. */
  async meet(client: ClientBase): Promise<void> {
    const timer = setTimeout(() => cut(client), this.#patience);
    const server = await identify(client).finally(() => clearTimeout(timer));
    const known = this.#known;
    if (server.standby) throw new DatabaseUnavailable("NOT_PRIMARY", "The database's address leads to a standby.");
    if (known !== undefined && isLeftBehind(server, known)) {
      throw new DatabaseUnavailable("NOT_PRIMARY", "The database's address leads to a primary that a failover has left behind.");
    }
    if (known !== undefined && !sameServer(server, known)) {
      this.#onTrouble("another database server answers; what was open to the one before is dropped");
      for (const other of this.#open) cut(other);
      this.#open.clear();
    }
    this.#known = server;
    this.#open.add(client);
  }

  forget(client: ClientBase): void {
    this.#open.delete(client);
  }
}

/** Ends the connection without waiting for anybody: whoever uses it hears that it is lost. */
export function cut(client: ClientBase): void {
  (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
}
