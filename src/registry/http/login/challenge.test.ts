// Where a client is sent with its password: to names that the settings know, and with a scheme that somebody vouches for.

import type { IncomingMessage } from "node:http";

import * as fc from "fast-check";
import { expect, test } from "vitest";

import { Challenges, serviceOf } from "./challenge.ts";

interface Situation {
  readonly host?: string | undefined;
  readonly externalURL?: string;
  readonly hosts?: readonly string[];
  readonly loopbackHost?: string;
  readonly encrypted?: boolean;
  /** Names in the listener's own certificate. */
  readonly certified?: readonly string[];
  readonly forwarded?: "http" | "https";
  readonly ready?: boolean;
}

const basic = 'Basic realm="Wharfinger", charset="UTF-8"';
function challenge({
  host,
  externalURL,
  hosts = [],
  loopbackHost,
  encrypted = false,
  certified = [],
  forwarded,
  ready = true,
}: Situation): string {
  const challenges = new Challenges({
    ...(externalURL === undefined ? {} : { externalURL }),
    visitors: { hosts, ...(loopbackHost === undefined ? {} : { loopbackHost }) },
    forwardedScheme: () => forwarded,
    ready: () => ready,
  });
  const check = (name: string) => (certified.includes(name) ? name : undefined);
  const socket = { encrypted, getX509Certificate: () => ({ checkHost: check, checkIP: check }) };
  return challenges.for({ headers: { host }, socket } as unknown as IncomingMessage, {});
}
const realm = (situation: Situation) => /realm="([^"]*)"/.exec(challenge(situation))?.[1];

const externalURL = "https://registry.example.com";
const inside = { externalURL, hosts: ["inside.example.com"], host: "inside.example.com:5000" };
const local = { loopbackHost: "127.0.0.1" };

test.each<[Situation, string]>([
  [{ externalURL, host: "registry.example.com" }, "https://registry.example.com/token"],
  [{ externalURL, host: "REGISTRY.example.com" }, "https://registry.example.com/token"],
  [{ externalURL: "https://registry.example.com:8443", host: "registry.example.com:8443" }, "https://registry.example.com:8443/token"],
  [{ externalURL: "http://registry:5000", host: "registry:5000" }, "http://registry:5000/token"],
  // Names that nobody gave it.
  [{ externalURL, host: "evil.example.com" }, "https://registry.example.com/token"],
  [{ externalURL, host: 'x",realm="http://evil.example.com' }, "https://registry.example.com/token"],
  [{ externalURL, host: undefined }, "https://registry.example.com/token"],
  [
    { externalURL, hosts: ["inside.example.com"], host: "inside.example.com@evil.example.com", encrypted: true },
    "https://registry.example.com/token",
  ],
  // Names that it has.
  [{ ...inside, encrypted: true }, "https://inside.example.com:5000/token"],
  [{ ...inside, forwarded: "https" }, "https://inside.example.com:5000/token"],
  [{ ...inside, forwarded: "http" }, "http://inside.example.com:5000/token"],
  [{ ...inside, externalURL: "http://registry.example.com" }, "http://inside.example.com:5000/token"],
  [{ hosts: ["inside.example.com"], host: "inside.example.com", forwarded: "https" }, "https://inside.example.com/token"],
  // What its own certificate says it is called, the client has checked.
  [{ externalURL, host: "10.96.0.7:5000", encrypted: true, certified: ["10.96.0.7"] }, "https://10.96.0.7:5000/token"],
  [{ externalURL, host: "[fd00::7]:5000", encrypted: true, certified: ["fd00::7"] }, "https://[fd00::7]:5000/token"],
  [
    { externalURL, host: "wharfinger.registry.svc:5000", encrypted: true, certified: ["wharfinger.registry.svc"] },
    "https://wharfinger.registry.svc:5000/token",
  ],
  [{ externalURL, host: "10.96.0.8:5000", encrypted: true, certified: ["10.96.0.7"] }, "https://registry.example.com/token"],
  [{ externalURL, host: "10.96.0.7:5000", certified: ["10.96.0.7"] }, "https://registry.example.com/token"],
  // Without any TLS an address is as good as a name.
  [{ externalURL: "http://registry:5000", host: "10.96.0.7:5000" }, "http://10.96.0.7:5000/token"],
  [{ externalURL: "http://registry:5000", host: "evil.example.com" }, "http://registry:5000/token"],
  // What no URL can have.
  [{ externalURL: "http://registry:5000", host: "[10.96.0.7]" }, "http://registry:5000/token"],
  [{ externalURL: "http://registry:5000", host: "10.96.0.7:65536" }, "http://registry:5000/token"],
  [{ ...local, externalURL, host: "127.0.0.256:5000" }, "https://registry.example.com/token"],
  // Plain HTTP may be a proxy's with TLS before it: nobody's password goes out by that guess.
  [inside, "https://registry.example.com/token"],
  // A developer's machine.
  [{ ...local, host: "127.0.0.1:5000" }, "http://127.0.0.1:5000/token"],
  [{ ...local, host: "localhost:5000" }, "http://localhost:5000/token"],
  [{ ...local, host: "[::1]:5000" }, "http://[::1]:5000/token"],
  [{ ...local, host: "localhost:5000", encrypted: true }, "https://localhost:5000/token"],
  [{ ...local, externalURL, host: "localhost:5000" }, "http://localhost:5000/token"],
])("%j: %s", (situation, expected) => {
  expect(realm(situation)).toBe(expected);
});

test.each<[string, Situation]>([
  ["a listener for others that has no name", { host: "10.0.0.7:5000" }],
  ["a loopback name on such a listener", { host: "localhost:5000" }],
  ["a name behind a proxy that does not say how it was asked", { hosts: ["registry.example.com"], host: "registry.example.com" }],
  ["no key to sign with", { externalURL, host: "registry.example.com", ready: false }],
])("%s: the password goes where the request went", (_, situation) => {
  expect(challenge(situation)).toBe(basic);
});

test("whatever a Host header says, the challenge has its parameters and no others", () => {
  const own = ["registry.example.com", "inside.example.com", "10.96.0.7", "localhost:5000", "[::1]"];
  const part = fc.constantFrom(...own, '"', ",", "realm=", "\\", " ", "@", ":", "/", "\t", "evil.example.com", "x", "[", "]");
  const host = fc.array(part, { maxLength: 4 }).map((parts) => parts.join(""));
  const flag = fc.boolean();
  fc.assert(
    fc.property(host, flag, flag, flag, (host, encrypted, plain, loopback) => {
      const said = challenge({
        host,
        externalURL: plain ? "http://registry.example.com" : externalURL,
        hosts: ["inside.example.com"],
        certified: own,
        encrypted,
        ...(loopback ? local : {}),
      });
      const [, realm = "", service] = /^Bearer realm="([^"\s,@\\]+)",service="([^"\s,]+)"$/.exec(said) ?? [];
      const { hostname, pathname } = new URL(realm);
      expect([service, pathname]).toEqual(["registry.example.com", "/token"]);
      // Without TLS every address is good, and the parts make one: `[::]`.
      const anyAddress = plain && !encrypted ? ["[::]"] : [];
      expect(["registry.example.com", "inside.example.com", "10.96.0.7", "localhost", "[::1]", ...anyAddress]).toContain(hostname);
    }),
    { numRuns: 3_000 },
  );
});

test("what tokens are for", () => {
  expect([serviceOf(externalURL), serviceOf("http://registry:5000/"), serviceOf(undefined)]).toEqual([
    "registry.example.com",
    "registry:5000",
    "wharfinger",
  ]);
});
