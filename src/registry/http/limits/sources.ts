// What counts as one client where all have limits: whoever has one address of a network has more of them.

import ipaddr from "ipaddr.js";

/** What counts as one source: an IPv4 address, of IPv6 the /64 that one subscriber has whole. */
export function sourceOf(address: string): string {
  return prefixOf(address, 4);
}

/** Where a source can have others from: of IPv6 the /48 that is given to one site. */
export function networkOf(address: string): string {
  return prefixOf(address, 3);
}

/** `groups` of 16 bits count of an IPv6 address; an IPv4 address counts whole. */
function prefixOf(address: string, groups: number): string {
  if (!ipaddr.isValid(address)) return address;
  const parsed = ipaddr.process(address);
  if (!(parsed instanceof ipaddr.IPv6)) return parsed.toString();
  const shown = parsed.parts.slice(0, groups).map((part) => part.toString(16));
  return `${shown.join(":")}::/${groups * 16}`;
}
