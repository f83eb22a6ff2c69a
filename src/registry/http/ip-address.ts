// Addresses as clients, proxies and certificates write them.

import ipaddr from "ipaddr.js";

/** IPv6 without brackets, or IPv4 in four decimal parts: `10.1` and `0x7f.1`, which some programs read as addresses, are none. */
export function isIpAddress(text: string): boolean {
  return ipaddr.IPv6.isValid(text) || ipaddr.IPv4.isValidFourPartDecimal(text);
}
