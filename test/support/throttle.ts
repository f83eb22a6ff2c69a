// A TCP hop that lets bytes through at a fixed rate towards the client, so that a download is still under way when a test wants it to be.

import { connect, createServer, type AddressInfo, type Socket } from "node:net";

export interface Throttle {
  /** host:port of the hop. */
  readonly host: string;
  stop(): Promise<void>;
}

/** `to`: port on 127.0.0.1. `bytesPerSecond`: for each connection. */
export async function startThrottle(options: { to: number; bytesPerSecond: number }): Promise<Throttle> {
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const target = connect(options.to, "127.0.0.1");
    for (const socket of [client, target]) {
      sockets.add(socket);
      socket.on("error", () => socket.destroy());
      socket.on("close", () => {
        sockets.delete(socket);
        client.destroy();
        target.destroy();
      });
    }
    client.pipe(target);
    target.on("data", (chunk) => {
      client.write(chunk);
      target.pause();
      setTimeout(() => target.resume(), (chunk.length / options.bytesPerSecond) * 1000);
    });
    target.on("end", () => client.end());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
