import { hashSync } from "bcryptjs";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { Authenticator, type AuthenticationOptions } from "./authentication.ts";
import { LoginBrake } from "./login-brake.ts";

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
    await expect(brake.hold("b", "ci")).rejects.toMatchObject(tooMany);
    await brake.hold("b", "other");
    brake.succeeded("a", "ci");
    await brake.hold("a", "ci");
  });

  test("holds back a bounded number of attempts", async () => {
    const brake = new LoginBrake({ free: 0, first: 50, longest: 50, waiting: 2 });
    brake.failed("a", "ci");
    const attempts = await Promise.allSettled([1, 2, 3].map(() => brake.hold("a", "ci")));
    expect(attempts.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "rejected"]);
  });
});
