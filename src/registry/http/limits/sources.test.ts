import { expect, test } from "vitest";

import { networkOf, sourceOf } from "./sources.ts";

test.each([
  ["192.0.2.1", "192.0.2.1", "192.0.2.1"],
  ["::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", "2001:db8:1::/48"],
  ["2001:db8:1:2::", "2001:db8:1:2::/64", "2001:db8:1::/48"],
  ["fe80::1%eth0", "fe80:0:0:0::/64", "fe80:0:0::/48"],
  ["", "", ""],
])("%j counts as %j of %j", (address, source, network) => {
  expect([sourceOf(address), networkOf(address)]).toEqual([source, network]);
});
