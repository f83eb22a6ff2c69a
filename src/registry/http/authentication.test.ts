import { hashSync } from "bcryptjs";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

import type { ServiceError } from "../services/errors.ts";
import { Authenticator, type AuthenticationOptions } from "./authentication.ts";
import { LoginBrake } from "./login-brake.ts";
import { sourceOf } from "./login-places.ts";
import { PasswordCheck } from "./password-check.ts";

const hash = hashSync("secret", 4);
const basic = (name: string, password: string) => `Basic ${Buffer.from(`${name}:${password}`).toString("base64")}`;
const refused = { code: "UNAUTHORIZED", message: "The credentials are wrong." };
/** Without brakes: these tests fail on purpose, many times. */
const brake = { free: 1000, first: 1, longest: 1, waiting: 10 };

let lines: string[];
let current: Uint8Array | undefined;
let authenticator: Authenticator;

function make(part: Partial<AuthenticationOptions> = {}): Authenticator {
  const logger = pino({ level: "info" }, { write: (line: string) => lines.push(line) });
  return new Authenticator({ htpasswd: () => current, adminToken: "admin-token", admins: ["root"], logger, brake, ...part });
}

const who = (authorization: string | undefined, source = "192.0.2.1") => authenticator.authenticate({ authorization, source });

beforeEach(() => {
  lines = [];
  current = Buffer.from(`ci:${hash}\nroot:${hash}\n`);
  authenticator = make();
});
afterEach(() => authenticator.close());

describe("authentication", () => {
  test("who shows nothing is anonymous, who shows the right thing is known", async () => {
    expect(await who(undefined)).toEqual({ kind: "anonymous" });
    expect(await who(basic("", ""))).toEqual({ kind: "anonymous" });
    expect(await who(basic("ci", "secret"))).toEqual({ kind: "user", name: "ci" });
    expect(await who(`basic ${Buffer.from("ci:secret").toString("base64")}`)).toEqual({ kind: "user", name: "ci" });
    expect(await who("Bearer admin-token")).toEqual({ kind: "admin" });
  });

  test.each([
    ["a wrong password", basic("ci", "Secret")],
    ["an unknown user", basic("eve", "secret")],
    ["the hash as the password", basic("ci", hash)],
    ["an empty password", basic("ci", "")],
    ["an empty name", basic("", "secret")],
    ["a very long password", basic("ci", "x".repeat(5000))],
    ["no colon", `Basic ${Buffer.from("ci").toString("base64")}`],
    ["no base64", "Basic %%%"],
    ["a scheme alone", "Basic"],
    ["a prototype's name", basic("__proto__", "secret")],
    ["a wrong token", "Bearer admin-tokem"],
    ["the beginning of the token", "Bearer admin"],
    ["no token", "Bearer "],
    ["another scheme", "Digest username=ci"],
    ["garbage", "x"],
    ["nothing", ""],
  ])("%s is refused", async (_, authorization) => {
    await expect(who(authorization)).rejects.toMatchObject(refused);
  });

  test("a changed Secret counts at once, also for credentials that were right a moment ago", async () => {
    expect(await who(basic("ci", "secret"))).toEqual({ kind: "user", name: "ci" });
    current = Buffer.from(`ci:${hashSync("other", 4)}\n`);
    await expect(who(basic("ci", "secret"))).rejects.toMatchObject(refused);
    expect(await who(basic("ci", "other"))).toEqual({ kind: "user", name: "ci" });
    current = undefined;
    await expect(who(basic("ci", "other"))).rejects.toMatchObject(refused);
    expect(authenticator.hasUsers()).toBe(false);
  });

  test("administrators are the token and those named in the settings", () => {
    expect(authenticator.isAdmin({ kind: "admin" })).toBe(true);
    expect(authenticator.isAdmin({ kind: "user", name: "root" })).toBe(true);
    expect(authenticator.isAdmin({ kind: "user", name: "ci" })).toBe(false);
    expect(authenticator.isAdmin({ kind: "anonymous" })).toBe(false);
  });

  test("the log names who was refused, never with what", async () => {
    await expect(who(basic("ci", "canary-password"))).rejects.toMatchObject(refused);
    await expect(who("Bearer canary-token")).rejects.toMatchObject(refused);
    const log = lines.join("");
    expect(log).toContain('"user":"ci"');
    expect(log).not.toContain("canary");
    expect(log).not.toContain(Buffer.from("ci:canary").toString("base64").slice(0, 10));
  });

  test("lines that cannot be used are named by number", async () => {
    current = Buffer.from(`ci:${hash}\nold:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n`);
    expect(await who(basic("ci", "secret"))).toEqual({ kind: "user", name: "ci" });
    expect(lines.join("")).toContain("htpasswd, line 2: the hash is not bcrypt");
    expect(lines.join("")).not.toContain("W6ph5");
  });

  test("many at once are answered, each rightly", async () => {
    const answers = await Promise.allSettled(
      Array.from({ length: 40 }, (_, index) => who(basic("ci", index % 2 === 0 ? "secret" : `wrong ${index}`))),
    );
    expect(answers.map(({ status }) => status)).toEqual(
      Array.from({ length: 40 }, (_, index) => (index % 2 === 0 ? "fulfilled" : "rejected")),
    );
  });
});

describe("the brake", () => {
  test("lets the first failures pass, then holds back by source and by name, and forgets after a success", async () => {
    const brake = new LoginBrake({ free: 2, first: 60_000, longest: 60_000, waiting: 0 });
    for (let attempt = 0; attempt < 3; attempt++) {
      await brake.hold("a", "ci");
      brake.failed("a", "ci");
    }
    const tooMany = { code: "TOOMANYREQUESTS", retryAfter: 60 };
    await expect(brake.hold("a", "other")).rejects.toMatchObject(tooMany);
    // Of a stranger's failures a source without any hears nothing but a pause, and where there is no place for that, not even this.
    await brake.hold("b", "ci");
    await brake.hold("b", "other");
    brake.succeeded("a", "ci");
    await brake.hold("a", "ci");
  });

  test("holds back a quarter of one source, a half of all that fail, and leaves the rest to others", async () => {
    const brake = new LoginBrake({ free: 0, first: 50, longest: 50, waiting: 8 });
    for (const source of ["a", "b", "c"]) brake.failed(source, "ci");
    const ended: string[] = [];
    const attempts = ["a1", "a2", "a3", "b1", "b2", "b3", "c1", "x1", "x2", "x3", "y1", "y2", "z1"].map(async (attempt) => {
      await brake.hold(attempt.charAt(0), "ci");
      ended.push(attempt);
    });
    const settled = await Promise.allSettled(attempts);
    expect(settled.flatMap(({ status }, index) => (status === "rejected" ? [index] : []))).toEqual([2, 5, 6]);
    expect(ended).toEqual(["x3", "z1", "a1", "a2", "b1", "b2", "x1", "x2", "y1", "y2"]);
    await brake.hold("a", "ci");
  });
});

describe("the check of passwords", () => {
  const asking = (passwords: PasswordCheck, source: string, failing: boolean, count: number) =>
    Array.from({ length: count }, () =>
      passwords.matches("secret", hash, { source, failing }).catch((error: ServiceError) => [error.code, error.retryAfter]),
    );
  const right = (count: number) => Array<boolean>(count).fill(true);
  const busy = ["UNAVAILABLE", 2];

  test("takes 8 of a source that fails and 32 of all that do, 48 of one source and 96 in all, again and again", async () => {
    const passwords = new PasswordCheck();
    for (let round = 0; round < 2; round++) {
      const failing = ["a", "b", "c", "d"].map((source) => asking(passwords, source, true, 9));
      const fifth = asking(passwords, "e", true, 1);
      const fresh = asking(passwords, "x", false, 49);
      const last = asking(passwords, "y", false, 17);
      for (const answers of failing) expect(await Promise.all(answers)).toEqual([...right(8), busy]);
      expect(await Promise.all(fifth)).toEqual([busy]);
      expect(await Promise.all(fresh)).toEqual([...right(48), busy]);
      expect(await Promise.all(last)).toEqual([...right(16), busy]);
    }
    await passwords.close();
  });

  test("one source that tries passwords as fast as it can does not keep others out", async () => {
    await expect(who(basic("ci", "wrong"), "2001:db8::1")).rejects.toMatchObject(refused);
    const guesses = Array.from({ length: 200 }, (_, n) => who(basic("ci", `wrong ${n}`), `2001:db8::${(n + 1).toString(16)}`));
    const answers = Promise.allSettled(guesses);
    expect(await who(basic("ci", "secret"), "2001:db8:0:1::1")).toEqual({ kind: "user", name: "ci" });
    const codes = (await answers).map((answer) => (answer.status === "rejected" ? (answer.reason as ServiceError).code : ""));
    expect(codes.filter((code) => code === "UNAUTHORIZED")).toHaveLength(8);
    expect(codes.filter((code) => code === "UNAVAILABLE")).toHaveLength(192);
  });
});

test.each([
  ["192.0.2.1", "192.0.2.1"],
  ["::ffff:192.0.2.1", "192.0.2.1"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
  ["2001:db8:1:2::", "2001:db8:1:2::/64"],
  ["fe80::1%eth0", "fe80:0:0:0::/64"],
  ["", ""],
])("%j counts as %j", (address, source) => {
  expect(sourceOf(address)).toBe(source);
});
