import { expect, test } from "vitest";

import { isRobotPassword, parseRobots } from "./robots.ts";

const sha256 = "0f".repeat(32);
const secret = (data: Readonly<Record<string, string>>) => new Map(Object.entries(data).map(([key, text]) => [key, Buffer.from(text)]));

test("robots, with and without an end", () => {
  const { robots, problems } = parseRobots(
    secret({
      "node-1.pulls": JSON.stringify({ sha256 }),
      b: `{"sha256":"${sha256.toUpperCase()}","expires":"2027-01-01T00:00:00Z"}\n`,
      c: JSON.stringify({ sha256, expires: "2027-01-01T02:00:00+02:00" }),
    }),
    new Map(),
  );
  expect(problems).toEqual([]);
  expect(Object.fromEntries(robots)).toEqual({
    "node-1.pulls": { sha256 },
    b: { sha256, expires: Date.UTC(2027, 0, 1) },
    c: { sha256, expires: Date.UTC(2027, 0, 1) },
  });
});

test.each<[string, string, string]>([
  ["Node", JSON.stringify({ sha256 }), "a robot's name has at most 63"],
  [`a${"b".repeat(63)}`, JSON.stringify({ sha256 }), "a robot's name has at most 63"],
  ["-a", JSON.stringify({ sha256 }), "a robot's name has at most 63"],
  ["__proto__", JSON.stringify({ sha256 }), "a robot's name has at most 63"],
  ["ci", JSON.stringify({ sha256 }), "a user in htpasswd has this name"],
  ["a", "", "it is not {"],
  ["a", "wfr_password", "it is not {"],
  ["a", "[]", "it is not {"],
  ["a", "null", "it is not {"],
  ["a", "{}", "sha256 is not the SHA-256"],
  ["a", JSON.stringify({ sha256: sha256.slice(1) }), "sha256 is not the SHA-256"],
  ["a", JSON.stringify({ sha256, expire: "2027-01-01T00:00:00Z" }), 'it has a field that robots do not have ("expire")'],
  ["a", JSON.stringify({ sha256, expires: "2027-01-01" }), "expires is not a time"],
  ["a", JSON.stringify({ sha256, expires: "2027-13-01T00:00:00Z" }), "expires is not a time"],
  ["a", JSON.stringify({ sha256, expires: 1798761600 }), "expires is not a time"],
  ["a", JSON.stringify({ sha256, expires: null }), "expires is not a time"],
])("%s of %s is no robot", (key, value, reason) => {
  const { robots, problems } = parseRobots(secret({ [key]: value }), new Map([["ci", "hash"]]));
  expect([robots.size, problems.map((problem) => problem.key)]).toEqual([0, [key]]);
  expect(problems[0]?.reason).toContain(reason);
  // What the Secret holds is said nowhere.
  expect(problems[0]?.reason).not.toMatch(/0f0f|wfr_/);
});

test.each([
  [`wfr_${"a".repeat(43)}`, true],
  [`wfr_${"a".repeat(42)}`, false],
  [`wfr_${"a".repeat(43)}\n`, false],
  ["a".repeat(43), false],
])("%j may be a robot's password: %s", (password, may) => {
  expect(isRobotPassword(password)).toBe(may);
});
