import type { IncomingMessage } from "node:http";

import { expect, test } from "vitest";

import { clientAddressBehind } from "./client-address.ts";

function from(socket: string, forwarded?: string): IncomingMessage {
  const headers = forwarded === undefined ? {} : { "x-forwarded-for": forwarded };
  return { socket: { remoteAddress: socket }, headers } as unknown as IncomingMessage;
}

const trusted = clientAddressBehind(["10.0.0.0/8", "127.0.0.1/32", "2001:db8:1::/48"]);

test.each([
  ["nobody is trusted by default", clientAddressBehind([]), from("10.0.0.1", "1.2.3.4"), "10.0.0.1"],
  ["a stranger's header counts for nothing", trusted, from("9.9.9.9", "1.2.3.4"), "9.9.9.9"],
  ["the client of one proxy", trusted, from("127.0.0.1", "1.2.3.4"), "1.2.3.4"],
  ["behind two proxies", trusted, from("127.0.0.1", "1.2.3.4, 10.1.2.3"), "1.2.3.4"],
  ["what the client wrote itself is left of it", trusted, from("127.0.0.1", "7.7.7.7, 127.0.0.1, 1.2.3.4 ,10.1.2.3"), "1.2.3.4"],
  ["a socket that speaks both", trusted, from("::ffff:127.0.0.1", "1.2.3.4"), "1.2.3.4"],
  ["IPv6, and ports as some proxies add them", trusted, from("2001:db8:1::5", "[2001:db8:2::7]:4711, 10.0.0.9:80"), "2001:db8:2::7"],
  ["without a header the proxy is the client", trusted, from("127.0.0.1"), "127.0.0.1"],
  ["all of them are proxies: the first", trusted, from("127.0.0.1", "10.0.0.1, 10.0.0.2"), "10.0.0.1"],
  ["words end the walk where they stand", trusted, from("127.0.0.1", "1.2.3.4, unknown, 10.0.0.2"), "10.0.0.2"],
  ["numbers that only some parsers take for an address", trusted, from("127.0.0.1", "2130706433"), "127.0.0.1"],
  ["an IPv4 network written as IPv6", clientAddressBehind(["::ffff:10.0.0.0/104"]), from("10.9.9.9", "1.2.3.4"), "1.2.3.4"],
  ["any proxy", clientAddressBehind(["0.0.0.0/0", "::/0"]), from("10.9.9.9", "1.2.3.4, 5.6.7.8"), "1.2.3.4"],
])("%s", (_, addressOf, request, expected) => {
  expect(addressOf(request)).toBe(expected);
});
