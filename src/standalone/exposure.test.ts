import { expect, test } from "vitest";

import { isLoopback, refuseOpenAddress } from "./exposure.ts";

test.each([
  ["127.0.0.1", true],
  ["127.8.9.1", true],
  ["::1", true],
  ["localhost", true],
  ["0.0.0.0", false],
  ["::", false],
  ["192.0.2.1", false],
])("%s", async (host, expected) => {
  expect(await isLoopback({ host, port: 1 })).toBe(expected);
});

test("a host without an address", async () => {
  await expect(isLoopback({ host: "no-such-host.invalid", port: 1 })).rejects.toThrow(
    /--listen: no-such-host\.invalid is no address of this machine \(E\w+\)/,
  );
});

test("beyond loopback somebody must have decided", () => {
  const open = { listen: { host: "0.0.0.0", port: 5000 }, loopback: false, accessPolicies: 0, allowAnonymous: false };
  expect(() => refuseOpenAddress(open)).toThrow(/^Others can reach 0\.0\.0\.0:5000, and there is no AccessPolicy: .*--allow-anonymous/);
  for (const decided of [{ loopback: true }, { accessPolicies: 1 }, { allowAnonymous: true }]) refuseOpenAddress({ ...open, ...decided });
});
