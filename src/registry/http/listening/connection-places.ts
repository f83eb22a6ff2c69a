// Who has the connections of a listener. Each costs memory for as long as its client likes, asked or not, and needs no login: so one source has half of
// the places at most, and where most are taken who asks nothing makes room.

import type { Server, Socket } from "node:net";

import ipaddr from "ipaddr.js";

import { sourceOf } from "../limits/sources.ts";

export interface ConnectionPlacesOptions {
  /** In all: the server's `maxConnections`. */
  readonly most: number;
  /** Addresses that stand for many clients: proxies that the settings name. This machine's own always do. */
  readonly isProxy: (address: string) => boolean;
}

interface HttpServer extends Server {
  closeIdleConnections(): void;
}

/** Milliseconds between two times at which idle connections make room. */
const makeRoomEvery = 1_000;

/** Watches a server that does not listen yet. A connection that is too many of its source ends unheard, as a `drop` of the server. */
export function shareConnections(server: HttpServer, { most, isProxy }: ConnectionPlacesOptions): void {
  const bySource = new Map<string, number>();
  const share = Math.max(1, Math.floor(most / 2));
  let all = 0;
  let madeRoomAt = -Infinity;

  const count = (source: string | undefined, by: 1 | -1) => {
    all += by;
    if (source === undefined) return;
    const now = (bySource.get(source) ?? 0) + by;
    if (now > 0) bySource.set(source, now);
    else bySource.delete(source);
  };

  // Before whoever reads from it.
  server.prependListener("connection", (socket: Socket) => {
    const source = countedAs(socket.remoteAddress ?? "", isProxy);
    count(source, 1);
    socket.once("close", () => count(source, -1));
    if (source !== undefined && (bySource.get(source) ?? 0) > share) {
      server.emit("drop");
      socket.destroy();
      return;
    }
    if (all <= most * 0.75 || performance.now() - madeRoomAt < makeRoomEvery) return;
    madeRoomAt = performance.now();
    // Whoever meets a closing one asks again; whoever finds no place at all cannot.
    server.closeIdleConnections();
  });
}

/** Undefined: of those there may be as many as there are places. */
function countedAs(address: string, isProxy: (address: string) => boolean): string | undefined {
  if (!ipaddr.isValid(address)) return address;
  return ipaddr.process(address).range() === "loopback" || isProxy(address) ? undefined : sourceOf(address);
}
