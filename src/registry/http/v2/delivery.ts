// Bytes to a client's socket, and the end of a client that does not take them: what was answered stays in memory until then.

import type { ServerResponse } from "node:http";

export interface DeliveryOptions {
  /** Milliseconds in which a client must take one piece. */
  readonly stallTimeout: number;
  /** Called when one did not; its connection is cut. */
  readonly onStall?: () => void;
}

/** As much as a download has on its way at a time (blob-buffers.ts). */
const pieceBytes = 256 * 1024;

/** Hands `write` a callback for when the socket has taken the bytes. Resolves then, or when the client is gone. */
export function deliver(response: ServerResponse, write: (taken: () => void) => void, options: DeliveryOptions): Promise<void> {
  return new Promise((resolve) => {
    const settle = () => {
      clearTimeout(timer);
      response.off("close", settle);
      resolve();
    };
    const timer = setTimeout(() => {
      options.onStall?.();
      response.destroy();
      settle();
    }, options.stallTimeout);
    response.once("close", settle);
    if (response.destroyed) settle();
    else write(settle);
  });
}

/** Ends the answer with these bytes, piece by piece: somebody on a slow line has the time of each, somebody who takes nothing only the first. */
export async function deliverWhole(response: ServerResponse, bytes: Uint8Array | undefined, options: DeliveryOptions): Promise<void> {
  const rest = await deliverPieces(response, bytes ?? new Uint8Array(), options);
  await deliver(response, (taken) => (rest.length === 0 ? response.end(taken) : response.end(rest, taken)), options);
}

/** All but the last piece, which is returned: it goes out with the end of the answer in one write. */
async function deliverPieces(response: ServerResponse, bytes: Uint8Array, options: DeliveryOptions): Promise<Uint8Array> {
  let rest = bytes;
  while (rest.length > pieceBytes && !response.destroyed) {
    const piece = rest.subarray(0, pieceBytes);
    await deliver(response, (taken) => response.write(piece, taken), options);
    rest = rest.subarray(pieceBytes);
  }
  return rest;
}
