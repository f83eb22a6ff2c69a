import { expect, test } from "vitest";

import { localUrl, parseListen } from "./listen.ts";
import { tokenFromEnvironment } from "./options/client.ts";
import { parseBoolean } from "./options/option.ts";

test.each([
  ["127.0.0.1:5000", "127.0.0.1", 5000, "http://127.0.0.1:5000"],
  ["localhost:0", "localhost", 0, "http://localhost:0"],
  ["[::1]:80", "::1", 80, "http://[::1]:80"],
  ["[::]:5000", "::", 5000, "http://[::1]:5000"],
  [":5000", "0.0.0.0", 5000, "http://127.0.0.1:5000"],
  ["0.0.0.0:65535", "0.0.0.0", 65_535, "http://127.0.0.1:65535"],
])("%s", (text, host, port, url) => {
  expect(parseListen(text)).toEqual({ host, port });
  expect(localUrl(parseListen(text))).toBe(url);
});

test.each(["", "5000", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "::1:5000", "http://127.0.0.1:5000", "host:port"])(
  "refused: %j",
  (text) => {
    expect(() => parseListen(text)).toThrow("Write host:port, for example 127.0.0.1:5000");
  },
);

test("a switch in the environment says yes or no", () => {
  expect(["true", "1", "YES", "false", "0", "no"].map(parseBoolean)).toEqual([true, true, true, false, false, false]);
  expect(() => parseBoolean("maybe")).toThrow("Write true or false.");
});

test("an empty token counts as none", () => {
  expect([
    tokenFromEnvironment({ WHARFINGER_TOKEN: " t\n" }),
    tokenFromEnvironment({ WHARFINGER_TOKEN: "" }),
    tokenFromEnvironment({}),
  ]).toEqual(["t", undefined, undefined]);
});
