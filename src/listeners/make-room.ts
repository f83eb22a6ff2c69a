// Few places for connections, and whoever holds many of them gives one to who comes: a kubelet that finds none restarts the Pod.

import type { Server, Socket } from "node:net";

/**
 * At most `most` connections of a server that does not listen yet. Where there is one more, the oldest of the address that has most of them is closed; the new one
 * where nobody has more than its own address.
 */
export function makeRoom(server: Server, most: number): void {
  const byAddress = new Map<string, Set<Socket>>();
  const leavings = new WeakMap<Socket, () => void>();
  let all = 0;
  // Before whoever reads from it.
  server.prependListener("connection", (socket: Socket) => {
    const address = socket.remoteAddress ?? "";
    const own = byAddress.get(address) ?? new Set();
    byAddress.set(address, own.add(socket));
    all++;
    const leave = () => {
      if (!own.delete(socket)) return;
      all--;
      if (own.size === 0 && byAddress.get(address) === own) byAddress.delete(address);
    };
    leavings.set(socket, leave);
    socket.once("close", leave);
    if (all <= most) return;
    let largest = own;
    for (const other of byAddress.values()) if (other.size > largest.size) largest = other;
    const [oldest] = largest;
    if (oldest === undefined) return;
    // It is closed a moment later, and another may come before.
    leavings.get(oldest)?.();
    oldest.destroy();
  });
}
