// A TCP hop before PostgreSQL: the address that a failover moves, a network that goes silent, and one that breaks exactly around a COMMIT.

import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";

export interface PostgresHop {
  readonly port: number;
  /** postgresql://wharfinger@127.0.0.1:port/database */
  url(database: string): string;
  /** New connections go to this port of 127.0.0.1; those that are open stay where they are. */
  lead(to: number): void;
  /** Bytes of open connections are swallowed, both ways, and nobody hears that they are; new ones are as `lead` says. */
  silence(): void;
  /** Ends what is open. */
  cut(): void;
  /**
   * The connection of the next COMMIT breaks: before the server hears of it, or when its answer is there and has not been passed on. Only when
   * `matching` fits a statement of its transaction. Resolves when that has happened.
   */
  cutAtCommit(when: "before" | "after", matching?: RegExp): Promise<void>;
  stop(): Promise<void>;
}

interface CommitFault {
  readonly when: "before" | "after";
  readonly matching: RegExp;
  readonly done: () => void;
}

export async function startPostgresHop(target: number): Promise<PostgresHop> {
  let leadsTo = target;
  let fault: CommitFault | undefined;
  const pairs = new Set<{ readonly sockets: readonly Socket[]; silent: boolean }>();

  const server = createServer((client) => {
    const backend = connect(leadsTo, "127.0.0.1");
    const pair = { sockets: [client, backend], silent: false };
    pairs.add(pair);
    const end = () => {
      pairs.delete(pair);
      client.destroy();
      backend.destroy();
    };
    for (const socket of pair.sockets) socket.on("error", end).on("close", () => !pair.silent && end());
    let transaction = "";
    let answerIsCut = false;
    client.on("data", (bytes: Buffer) => {
      if (pair.silent) return;
      const text = bytes.toString("latin1");
      transaction = text.includes("BEGIN") ? text : transaction + text;
      // The driver sends it alone: a query message and nothing else.
      if (fault !== undefined && text.startsWith("Q") && text.endsWith("COMMIT\0") && fault.matching.test(transaction)) {
        const { when, done } = fault;
        fault = undefined;
        if (when === "before") {
          end();
          return done();
        }
        answerIsCut = true;
        backend.once("data", () => {
          end();
          done();
        });
      }
      backend.write(bytes);
    });
    backend.on("data", (bytes: Buffer) => {
      if (!pair.silent && !answerIsCut) client.write(bytes);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const cut = () => {
    for (const { sockets } of pairs) for (const socket of sockets) socket.destroy();
    pairs.clear();
  };
  return {
    port,
    url: (database) => `postgresql://wharfinger@127.0.0.1:${port}/${database}`,
    lead: (to) => void (leadsTo = to),
    silence: () => {
      for (const pair of pairs) pair.silent = true;
    },
    cut,
    cutAtCommit: (when, matching = /(?:)/) =>
      new Promise((resolve) => {
        fault = { when, matching, done: resolve };
      }),
    stop: async () => {
      cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
