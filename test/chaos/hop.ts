// A TCP hop on a fixed port, before a server that comes and goes: open, refusing, or stalled as a network partition is (bytes neither arrive nor
// fail), or slow.

import { connect, createServer, type AddressInfo, type NetConnectOpts, type Socket } from "node:net";

export type HopMode = "open" | "stalled" | "refusing" | { readonly delay: number };

export interface Hop {
  readonly port: number;
  mode(mode: HopMode): void;
  stop(): Promise<void>;
}

/** `target`: asked for every connection. */
export async function startHop(target: () => NetConnectOpts): Promise<Hop> {
  let mode: HopMode = "open";
  const pairs = new Set<readonly [Socket, Socket]>();
  const forward = (from: Socket, to: Socket) => {
    from.on("data", (bytes: Buffer) => {
      const pass = () => {
        if (!to.write(bytes)) {
          from.pause();
          to.once("drain", () => mode !== "stalled" && from.resume());
        }
      };
      if (typeof mode === "object") setTimeout(pass, mode.delay);
      else pass();
    });
    from.on("end", () => to.end());
  };
  const server = createServer((client) => {
    if (mode === "refusing") return void client.destroy();
    const onward = connect(target());
    const pair = [client, onward] as const;
    pairs.add(pair);
    for (const socket of pair) {
      socket.setNoDelay(true);
      socket.on("error", () => socket.destroy());
      socket.on("close", () => {
        pairs.delete(pair);
        client.destroy();
        onward.destroy();
      });
      if (mode === "stalled") socket.pause();
    }
    forward(client, onward);
    forward(onward, client);
    if (mode === "stalled") for (const socket of pair) socket.pause();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    mode: (next) => {
      mode = next;
      for (const pair of pairs) {
        for (const socket of pair) {
          if (next === "refusing") socket.destroy();
          else if (next === "stalled") socket.pause();
          else socket.resume();
        }
      }
    },
    stop: async () => {
      for (const pair of pairs) for (const socket of pair) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
