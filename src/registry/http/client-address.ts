// Whose request it is, and how it was sent, when it comes through proxies: setting access.trustedProxies. Anybody can send X-Forwarded-For, so it is read from its
// end, where the proxies that are known have written, and no further than the first address that is not one of theirs.

import type { IncomingMessage } from "node:http";

import ipaddr from "ipaddr.js";

import { isIpAddress } from "./ip-address.ts";

export type ClientAddress = (request: IncomingMessage) => string;

/** `trusted`: networks (CIDR) of proxies. Resolves to the address of the socket where that is none of them. */
export function clientAddressBehind(trusted: readonly string[]): ClientAddress {
  const isProxy = proxiesOf(trusted);
  return (request) => {
    let address = request.socket.remoteAddress ?? "";
    if (trusted.length === 0 || !ipaddr.isValid(address)) return address;
    const hops = String(request.headers["x-forwarded-for"] ?? "").split(",");
    for (let hop = hops.pop(); isProxy(address); hop = hops.pop()) {
      const before = hop === undefined ? undefined : withoutPort(hop.trim());
      if (before === undefined) return address;
      address = before;
    }
    return address;
  };
}

/** How the client spoke to the outermost proxy (X-Forwarded-Proto), where the nearest one is known; undefined: nobody says so. */
export function forwardedSchemeBehind(trusted: readonly string[]): (request: IncomingMessage) => "http" | "https" | undefined {
  const isProxy = proxiesOf(trusted);
  return (request) => {
    const address = request.socket.remoteAddress ?? "";
    const scheme = request.headers["x-forwarded-proto"];
    if ((scheme !== "http" && scheme !== "https") || !ipaddr.isValid(address) || !isProxy(address)) return undefined;
    return scheme;
  };
}

/** `trusted`: networks (CIDR) of proxies. The result is asked with addresses alone. */
export function proxiesOf(trusted: readonly string[]): (address: string) => boolean {
  const networks = trusted.map((cidr) => ipaddr.parseCIDR(cidr));
  return (address) => {
    const parsed = ipaddr.process(address);
    return networks.some(([network, bits]) => {
      // An IPv4 network may be written as an IPv6 one.
      const mapped = network instanceof ipaddr.IPv6 && network.isIPv4MappedAddress() && bits >= 96;
      const [plain, length] = mapped ? [network.toIPv4Address(), bits - 96] : [network, bits];
      return parsed.kind() === plain.kind() && parsed.match(plain, length);
    });
  };
}

/** `10.0.0.7`, `10.0.0.7:4711`, `2001:db8::7`, `[2001:db8::7]:4711`; undefined for anything else, "unknown" for one. */
function withoutPort(hop: string): string | undefined {
  const address = /^\[([^\]]*)\](?::\d+)?$/.exec(hop)?.[1] ?? /^([\d.]+):\d+$/.exec(hop)?.[1] ?? hop;
  return isIpAddress(address) ? address : undefined;
}
