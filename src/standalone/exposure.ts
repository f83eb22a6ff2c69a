// Listening where others can reach it needs somebody's decision about who may do what (design: access.md, "Standalone").

import { lookup } from "node:dns/promises";

import type { ListenAddress } from "../config/listen.ts";

/** Whether only this machine can reach the address. Rejects with an Error when the host has no address. */
export async function isLoopback({ host }: ListenAddress): Promise<boolean> {
  const addresses = await lookup(host, { all: true }).catch((cause: NodeJS.ErrnoException) => {
    throw new Error(`--listen: ${host} is no address of this machine (${cause.code ?? cause.message}).`, { cause });
  });
  return addresses.every(({ address }) => address === "::1" || address.startsWith("127.") || address.startsWith("::ffff:127."));
}

/** Throws unless the address is loopback, an AccessPolicy exists, or somebody said that everybody may do everything. */
export function refuseOpenAddress(options: {
  listen: ListenAddress;
  loopback: boolean;
  accessPolicies: number;
  allowAnonymous: boolean;
}): void {
  if (options.loopback || options.accessPolicies > 0 || options.allowAnonymous) return;
  const { host, port } = options.listen;
  throw new Error(
    `Others can reach ${host}:${port}, and there is no AccessPolicy: everybody could push and delete. ` +
      "Put an AccessPolicy into the configuration folder (docs/guides/access.md), listen on 127.0.0.1, or say --allow-anonymous if that is what you want.",
  );
}
