// Whether an address can be listened on, where that is asked before much is begun.

import { once } from "node:events";
import { createServer } from "node:net";

import { explained, type Address } from "./listening.ts";

/** Listens for a moment. Rejects with the same words as `listen`; somebody else may still take it afterwards. */
export async function tryAddress(address: Address): Promise<void> {
  const server = createServer();
  try {
    server.listen({ host: address.host, port: address.port });
    await once(server, "listening");
  } catch (error) {
    throw explained(error, address);
  }
  server.close();
  await once(server, "close");
}
