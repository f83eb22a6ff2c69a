import { createHash, randomBytes } from "node:crypto";
import { Worker } from "node:worker_threads";

import { hashSync } from "bcryptjs";
import { argon2id } from "hash-wasm";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import type { ServiceError } from "../../services/errors.ts";
import { Authenticator, type AuthenticationOptions } from "./authentication.ts";
import { PasswordCheck } from "./password-check.ts";

const hash = hashSync("secret", 4);
const basic = (name: string, password: string) => `Basic ${Buffer.from(`${name}:${password}`).toString("base64")}`;
const refused = { code: "UNAUTHORIZED", message: "The credentials are wrong." };
/** Without brakes: these tests fail on purpose, many times. */
const brake = { free: 1000, first: 1, longest: 1 };
/** Who failed is refused where others would pause. */
const noneForGuesses = { all: 96, ofOneSource: 48, failing: 0, ofOneFailingSource: 0 };

let lines: string[];
let current: Uint8Array | undefined;
let authenticator: Authenticator;

function make(part: Partial<AuthenticationOptions> = {}): Authenticator {
  const logger = pino({ level: "info" }, { write: (line: string) => lines.push(line) });
  return new Authenticator({ htpasswd: () => current, adminToken: "admin-token", logger, brake, ...part });
}

const who = async (authorization: string | undefined, source = "192.0.2.1") =>
  (await authenticator.authenticate({ authorization, source })).identity;

beforeEach(() => {
  lines = [];
  current = Buffer.from(`ci:${hash}\nroot:${hash}\n`);
  authenticator = make();
});
afterEach(async () => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  await authenticator.close();
});

describe("authentication", () => {
  test("who shows nothing is anonymous, who shows the right thing is known", async () => {
    expect(await who(undefined)).toEqual({ kind: "anonymous" });
    expect(await who(basic("", ""))).toEqual({ kind: "anonymous" });
    expect(await who(basic("ci", "secret"))).toEqual({ kind: "user", name: "ci" });
    expect(await who(`basic ${Buffer.from("ci:secret").toString("base64")}`)).toEqual({ kind: "user", name: "ci" });
    expect(await who("Bearer admin-token")).toEqual({ kind: "admin" });
  });

  test("a hundred nodes of one network that come with the same password at once are one check, and none is refused", async () => {
    const asked = vi.spyOn(Worker.prototype, "postMessage");
    const nodes = Array.from({ length: 100 }, (_, node) => who(basic("ci", "secret"), `192.0.2.${node}`));
    expect(await Promise.all(nodes)).toEqual(Array.from({ length: 100 }, () => ({ kind: "user", name: "ci" })));
    expect(asked).toHaveBeenCalledTimes(1);
  });

  test("who guesses the same many times at once fails as often, and other names with that password are checked for themselves", async () => {
    const asked = vi.spyOn(Worker.prototype, "postMessage");
    const guesses = ["ci", "root", "eve", "eva"].flatMap((name) => [who(basic(name, "guess")), who(basic(name, "guess"))]);
    expect((await Promise.allSettled(guesses)).map(({ status }) => status)).toEqual(guesses.map(() => "rejected"));
    expect(asked).toHaveBeenCalledTimes(4);
    expect(lines.filter((line) => line.includes("login-refused"))).toHaveLength(8);
  });

  test.each([
    ["a wrong password", basic("ci", "Secret")],
    ["an unknown user", basic("eve", "secret")],
    ["the hash as the password", basic("ci", hash)],
    ["an empty password", basic("ci", "")],
    ["an empty name", basic("", "secret")],
    ["a password with a NUL, which bcrypt takes for its repetition", basic("ci", "secret\0secret")],
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

  test("tokens of ServiceAccounts count where there are issuers; who has none is told nothing but that", async () => {
    const identity = { kind: "serviceAccount", issuer: "in-cluster", namespace: "team-a", name: "builder" } as const;
    const judged = { good: { identity }, old: { refused: "it has expired", genuine: true } };
    const judge = async (token: string) =>
      Object.hasOwn(judged, token) ? judged[token as keyof typeof judged] : { refused: "no issuer has its key canary", genuine: false };
    await authenticator.close();
    authenticator = make({ tokens: { judge } });
    expect(await who("Bearer good")).toEqual(identity);
    expect(await who("Bearer admin-token")).toEqual({ kind: "admin" });
    await expect(who("Bearer old")).rejects.toMatchObject({ code: "UNAUTHORIZED", message: "The token does not count: it has expired." });
    await expect(who("Bearer other")).rejects.toMatchObject(refused);
    expect(lines.map((line) => (JSON.parse(line) as { reason: string }).reason)).toEqual([
      "it has expired",
      "no issuer has its key canary",
    ]);
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
    expect(lines.join("")).toContain("htpasswd, line 2: the hash is neither bcrypt nor argon2id");
    expect(lines.join("")).not.toContain("W6ph5");
  });

  test("bytes that bcrypt does not look at are refused, not ignored, and cost no check", async () => {
    const longest = "ä".repeat(36);
    current = Buffer.from(`ci:${hashSync(longest, 4)}\n`);
    expect(await who(basic("ci", longest))).toEqual({ kind: "user", name: "ci" });
    for (const more of ["x", "y".repeat(5000)]) {
      const message = `The password has ${72 + more.length} bytes. bcrypt looks at no more than 72: choose one of at most 72 bytes.`;
      for (const name of ["ci", "eve"]) {
        await expect(who(basic(name, longest + more))).rejects.toMatchObject({ code: "UNAUTHORIZED", message });
      }
    }
  });

  test("a name that does not exist is checked at the cost of one that does", async () => {
    const check = vi.spyOn(PasswordCheck.prototype, "matches").mockResolvedValue(false);
    const costs = async (names: readonly string[]) => {
      check.mockClear();
      for (const name of names) await expect(who(basic(name, "wrong"))).rejects.toMatchObject(refused);
      return check.mock.calls.map(([, asked]) => asked.slice(4, 6));
    };
    const strangers = Array.from({ length: 60 }, (_, n) => `stranger ${n}`);
    expect(new Set(await costs(strangers))).toEqual(new Set(["04"]));
    current = Buffer.from(`old:${hash.replace("$04$", "$05$")}\nnew:${hash.replace("$04$", "$12$")}\n`);
    const mixed = await costs(strangers);
    expect(new Set(mixed)).toEqual(new Set(["05", "12"]));
    expect(await costs(strangers)).toEqual(mixed);
    const anotherProcess = make();
    authenticator = anotherProcess;
    expect(await costs(strangers)).toEqual(mixed);
    current = undefined;
    expect(new Set(await costs(strangers))).toEqual(new Set(["10"]));
  });

  test("hashes that are cheap to guess against are named once", async () => {
    current = Buffer.from(`weak:${hash.replace("$04$", "$09$")}\nci:${hashSync("secret", 4)}\ngood:${hash.replace("$04$", "$10$")}\n`);
    for (let login = 0; login < 3; login++) expect(await who(basic("ci", "secret"))).toEqual({ kind: "user", name: "ci" });
    const warnings = lines.filter((line) => line.includes("cheap to guess"));
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain("hashes of weak, ci are cheap to guess against; make new ones with htpasswd -nbB -C 10");
  });

  test("argon2id is as good as bcrypt, and not cut at 72 bytes", async () => {
    const password = "ä".repeat(100);
    const argon = await argon2id({
      password,
      salt: randomBytes(16),
      memorySize: 64,
      iterations: 2,
      parallelism: 1,
      hashLength: 32,
      outputType: "encoded",
    });
    current = Buffer.from(`ci:${hash}\neve:${argon}\n`);
    expect(await who(basic("eve", password))).toEqual({ kind: "user", name: "eve" });
    for (const wrong of [`${password}x`, password.slice(1), "", "x"]) await expect(who(basic("eve", wrong))).rejects.toMatchObject(refused);
    expect(await who(basic("ci", "secret"))).toEqual({ kind: "user", name: "ci" });
    const message = "The password has 1025 bytes. No more than 1024 are taken: choose one of at most 1024 bytes.";
    await expect(who(basic("eve", "x".repeat(1025)))).rejects.toMatchObject({ code: "UNAUTHORIZED", message });
  });

  test("many at once are answered, each rightly", async () => {
    const answers = await Promise.allSettled(
      Array.from({ length: 30 }, (_, index) => who(basic("ci", index % 2 === 0 ? "secret" : `wrong ${index}`))),
    );
    expect(answers.map(({ status }) => status)).toEqual(
      Array.from({ length: 30 }, (_, index) => (index % 2 === 0 ? "fulfilled" : "rejected")),
    );
  });
});

test("a password that is changed while it is checked gives a token of what was checked, which is closed already", async () => {
  let htpasswd = Buffer.from(`ci:${hashSync("old", 4)}\n`);
  await authenticator.close();
  authenticator = make({ htpasswd: () => htpasswd });
  const before = await authenticator.authenticate({ authorization: basic("ci", "old"), source: "192.0.2.1" });
  await authenticator.close();
  authenticator = make({ htpasswd: () => htpasswd });
  vi.spyOn(PasswordCheck.prototype, "matches").mockImplementation(async () => {
    htpasswd = Buffer.from(`ci:${hashSync("new", 4)}\n`);
    return true;
  });
  const during = await authenticator.authenticate({ authorization: basic("ci", "old"), source: "192.0.2.1" });
  expect(during.credential).toBe(before.credential);
});

test("a password or token that was taken for a name is in no log", async () => {
  const token = `eyJ${"a".repeat(40)}.${"b".repeat(40)}.${"c".repeat(40)}`;
  for (const name of [`wfr_${"a".repeat(43)}`, token]) {
    await expect(who(basic(name, ""))).rejects.toMatchObject(refused);
    await expect(who(basic(name, token))).rejects.toMatchObject(refused);
    expect(lines.join("")).not.toContain(name.slice(0, 20));
  }
  expect(lines.filter((line) => line.includes("(a password)"))).toHaveLength(4);
});

describe("robots", () => {
  const password = `wfr_${"a".repeat(43)}`;
  const digest = (text: string) => createHash("sha256").update(text).digest("hex");
  const robots = (values: Readonly<Record<string, object>>) =>
    new Map(Object.entries(values).map(([name, value]) => [name, Buffer.from(JSON.stringify(value))]));
  let data: ReadonlyMap<string, Uint8Array> | undefined;
  beforeEach(async () => {
    data = robots({ node: { sha256: digest(password) }, ci: { sha256: digest(password) }, word: { sha256: digest("word") } });
    await authenticator.close();
    authenticator = make({ robots: () => data, brake: { free: 0, first: 60_000, longest: 60_000 }, places: noneForGuesses });
  });

  test("log in with the password that was made for them, and as no user of htpasswd", async () => {
    const check = vi.spyOn(PasswordCheck.prototype, "matches").mockResolvedValue(false);
    expect(await who(basic("node", password))).toEqual({ kind: "robot", name: "node" });
    expect(check).not.toHaveBeenCalled();
    const wrong = [
      ["node", `${password.slice(0, -1)}b`] as const,
      ["ci", password] as const,
      ["word", "word"] as const,
      ["eve", password] as const,
    ];
    for (const [index, [name, shown]] of wrong.entries()) {
      await expect(who(basic(name, shown), `192.0.2.${index + 10}`)).rejects.toMatchObject(refused);
      // As much is checked for it as for a name that nobody has.
      expect(check).toHaveBeenCalledTimes(index + 1);
    }
    expect(lines.join("")).toContain("robots, key ci: a user in htpasswd has this name: give the robot another one, or take the user out");
    expect(lines.filter((line) => line.includes("robots, key"))).toHaveLength(1);
    // Whoever tried with its name or from its address does not slow it.
    expect(await who(basic("node", password), "192.0.2.10")).toEqual({ kind: "robot", name: "node" });
    await expect(who(basic("node", "wrong"), "192.0.2.11")).rejects.toMatchObject({ code: "TOOMANYREQUESTS" });
  });

  test("an end counts at once, is said in the log, and is no guess", async () => {
    const expires = new Date(Date.now() - 1000).toISOString();
    data = robots({ node: { sha256: digest(password), expires } });
    for (let login = 0; login < 5; login++) await expect(who(basic("node", password))).rejects.toMatchObject(refused);
    expect(lines.join("")).toContain(`the robot has expired at ${expires}; make it a new password`);
    expect(lines.join("")).not.toContain(password);
    data = robots({ node: { sha256: digest(password), expires: new Date(Date.now() + 60_000).toISOString() } });
    expect(await who(basic("node", password))).toEqual({ kind: "robot", name: "node" });
    data = undefined;
    await expect(who(basic("node", password))).rejects.toMatchObject(refused);
  });
});

describe("tokens of ServiceAccounts as passwords", () => {
  const token = (text: string) => `eyJ${Buffer.from(text).toString("base64url").padEnd(20, "0")}.${"a".repeat(20)}.${"b".repeat(20)}`;
  const identity = { kind: "serviceAccount", issuer: "in-cluster", namespace: "team-a", name: "builder" } as const;

  test("count under any name, and one that counted once is no guess", async () => {
    const judge = async (shown: string) => {
      if (shown === token("good")) return { identity };
      return { refused: shown === token("old") ? "it has expired" : "no issuer has its key", genuine: shown === token("old") };
    };
    await authenticator.close();
    authenticator = make({ tokens: { judge }, brake: { free: 1, first: 60_000, longest: 60_000 }, places: noneForGuesses });
    for (const name of ["serviceaccount", "ci", ""]) expect(await who(basic(name, token("good")))).toEqual(identity);
    const expired = { code: "UNAUTHORIZED", message: "The token does not count: it has expired." };
    for (let login = 0; login < 5; login++) await expect(who(basic("serviceaccount", token("old")))).rejects.toMatchObject(expired);
    for (let login = 0; login < 2; login++)
      await expect(who(basic("serviceaccount", token(`forged ${login}`)))).rejects.toMatchObject(refused);
    await expect(who(basic("serviceaccount", token("forged")))).rejects.toMatchObject({ code: "TOOMANYREQUESTS" });
    // Neither the name, which all share, nor the address is a reason to hold back a right one.
    expect(await who(basic("serviceaccount", token("good")))).toEqual(identity);
  });
});

describe("a flood of guesses", () => {
  test("a flood from ever new sources does not keep out who logged in before, nor credentials that did", async () => {
    expect(await who(basic("ci", "secret"), "192.0.2.7")).toEqual({ kind: "user", name: "ci" });
    const flood = Array.from({ length: 300 }, (_, n) => who(basic(`user ${n}`, "wrong"), `198.51.${n >> 8}.${n & 255}`));
    const answers = Promise.allSettled(flood);
    const [stranger, known, again] = await Promise.allSettled([
      who(basic("root", "secret"), "203.0.113.1"),
      who(basic("root", "secret"), "192.0.2.7"),
      who(basic("ci", "secret"), "203.0.113.2"),
    ]);
    expect(stranger).toMatchObject({ status: "rejected", reason: { code: "UNAVAILABLE" } });
    expect([known.status, again.status]).toEqual(["fulfilled", "fulfilled"]);
    const codes = (await answers).map((answer) => (answer.status === "rejected" ? (answer.reason as ServiceError).code : ""));
    expect(codes.filter((code) => code === "UNAUTHORIZED")).toHaveLength(48);
  });

  test("credentials that were right today go before strangers', from wherever they come", async () => {
    // A cache reads its clock once and keeps that for a millisecond.
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    let now = 1;
    vi.spyOn(performance, "now").mockImplementation(() => now);
    const pass = (time: number) => {
      now += time;
      vi.advanceTimersByTime(time);
    };
    const check = vi.spyOn(PasswordCheck.prototype, "matches").mockResolvedValue(true);
    const attempts = () => check.mock.calls.map(([, , { failing, known }]) => ({ failing, known }));
    await who(basic("ci", "secret"), "192.0.2.7");
    pass(60 * 60_000);
    check.mockResolvedValueOnce(false);
    await expect(who(basic("ci", "wrong"), "203.0.113.1")).rejects.toMatchObject(refused);
    await who(basic("ci", "secret"), "203.0.113.1");
    pass(25 * 60 * 60_000);
    await who(basic("ci", "secret"), "203.0.113.1");
    const stranger = { failing: false, known: false };
    expect(attempts()).toEqual([stranger, stranger, { failing: false, known: true }, stranger]);
  });

  test("one source that tries passwords as fast as it can does not keep others out", async () => {
    await expect(who(basic("ci", "wrong"), "2001:db8::1")).rejects.toMatchObject(refused);
    const guesses = Array.from({ length: 200 }, (_, n) => who(basic("ci", `wrong ${n}`), `2001:db8::${(n + 1).toString(16)}`));
    const answers = Promise.allSettled(guesses);
    expect(await who(basic("ci", "secret"), "2001:db8:0:1::1")).toEqual({ kind: "user", name: "ci" });
    const codes = (await answers).map((answer) => (answer.status === "rejected" ? (answer.reason as ServiceError).code : ""));
    expect(codes.filter((code) => code === "UNAUTHORIZED")).toHaveLength(8);
    expect(codes.filter((code) => code === "TOOMANYREQUESTS")).toHaveLength(192);
  });
});
