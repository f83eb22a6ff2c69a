// Requests that come on one connection before those ahead of them are answered (RFC 9112, 9.3.2). No registry client sends such. Node begins each as it
// comes, so that one connection would have as many under way as it has bytes for: limits by connection, by socket or by silence know nothing of them.

import type { RequestListener } from "node:http";
import type { Socket } from "node:net";

/** On one connection. Not one alone: a client may ask again before it has taken the end of the answer. */
export const mostUnanswered = 8;

/** `handle`, and the end of a connection that asks for more before it was answered. */
export function limitPipelining(handle: RequestListener, onRefused?: (address: string | undefined) => void): RequestListener {
  const unanswered = new WeakMap<Socket, number>();
  const count = (socket: Socket, by: 1 | -1) => {
    const now = (unanswered.get(socket) ?? 0) + by;
    unanswered.set(socket, now);
    return now;
  };
  return (request, response) => {
    const { socket } = request;
    // Some were read together with the one too many.
    if (socket.destroyed) return;
    if (count(socket, 1) > mostUnanswered) {
      onRefused?.(socket.remoteAddress);
      socket.destroy();
      return;
    }
    response.once("close", () => count(socket, -1));
    handle(request, response);
  };
}
