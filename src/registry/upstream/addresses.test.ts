import { expect, test } from "vitest";

import { AddressPolicy } from "./addresses.ts";

const strict = new AddressPolicy([]);
const open = new AddressPolicy(["10.1.0.0/16", "fd12::/16", "0.0.0.0/0", "::/0"]);

test.each(["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "64:ff9b::5db8:d822"])("%s is public", (address) => {
  expect(strict.allows(address, { trusted: false })).toBe(true);
});

test.each([
  ["loopback", "127.0.0.1"],
  ["loopback beyond .1", "127.255.0.9"],
  ["IPv6 loopback", "::1"],
  ["private", "10.0.0.1"],
  ["private", "172.16.0.1"],
  ["private", "192.168.1.1"],
  ["unique local", "fd12:3456::1"],
  ["carrier-grade NAT", "100.64.0.1"],
  ["benchmark network", "198.18.0.1"],
  ["reserved", "240.0.0.1"],
  ["IPv4-mapped loopback", "::ffff:127.0.0.1"],
  ["IPv4-mapped private, in hex", "::ffff:a00:1"],
  ["IPv4-compatible loopback", "::7f00:1"],
  ["NAT64 of a private address", "64:ff9b::a00:1"],
  ["RFC 6145 of loopback", "::ffff:0:7f00:1"],
  ["6to4 of loopback", "2002:7f00:1::"],
  ["Teredo", "2001:0:1::1"],
  ["documentation", "2001:db8::1"],
])("%s %s needs a setting or the owner's own hand", (_, address) => {
  expect(strict.allows(address, { trusted: false })).toBe(false);
  expect(strict.allows(address, { trusted: true })).toBe(true);
  expect(open.allows(address, { trusted: false })).toBe(true);
});

test.each([
  ["metadata of AWS, GCP, Azure", "169.254.169.254"],
  ["ECS credentials", "169.254.170.2"],
  ["metadata over IPv6", "fd00:ec2::254"],
  ["metadata, IPv4-mapped", "::ffff:169.254.169.254"],
  ["metadata through NAT64", "64:ff9b::a9fe:a9fe"],
  ["Alibaba", "100.100.100.200"],
  ["Azure's wire server", "168.63.129.16"],
  ["Oracle", "192.0.0.192"],
  ["GCP over IPv6", "fd20:ce::254"],
  ["link-local", "fe80::1"],
  ["any address, which is this machine", "0.0.0.0"],
  ["any address over IPv6", "::"],
  ["multicast", "224.0.0.1"],
  ["broadcast", "255.255.255.255"],
  ["no address", "example.com"],
  ["octal", "0177.0.0.1x"],
])("%s %s never", (_, address) => {
  expect(strict.allows(address, { trusted: true })).toBe(false);
  expect(open.allows(address, { trusted: true })).toBe(false);
});

test("a malformed network is refused at start", () => {
  expect(() => new AddressPolicy(["10.0.0.0/33"])).toThrow('egress.allowedCIDRs: "10.0.0.0/33" is not a network such as 10.0.0.0/8');
});
