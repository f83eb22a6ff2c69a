import { hashSync } from "bcryptjs";
import { afterEach, beforeEach, expect, test } from "vitest";

import type { LoginAttempt } from "./login-places.ts";
import { PasswordCheck } from "./password-check.ts";

const hash = hashSync("secret", 4);
let passwords: PasswordCheck;
let order: string[];
beforeEach(() => {
  passwords = new PasswordCheck();
  order = [];
});
afterEach(() => passwords.close());

async function ask(name: string, part: Partial<LoginAttempt> = {}, password = "secret"): Promise<boolean> {
  const source = name.charAt(0);
  const matches = await passwords.matches(password, hash, { source, network: source, failing: false, known: false, ...part });
  order.push(name);
  return matches;
}

test("answers what is right", async () => {
  expect(await Promise.all([ask("a1"), ask("a2", {}, "Secret"), ask("b1")])).toEqual([true, false, true]);
});

test("one network after the other: who brings many waits for himself", async () => {
  const flood = Array.from({ length: 30 }, (_, n) => ask(`f${n}`, {}, "wrong"));
  const others = [ask("a"), ask("b"), ask("c")];
  await Promise.all([...flood, ...others]);
  expect(order.slice(0, 5)).toEqual(["f0", "f1", "a", "b", "c"]);
});

test("the addresses of one network are one to strangers, and those that logged in lately each their own", async () => {
  const site = Array.from({ length: 10 }, (_, n) => ask(`s${n}`, { source: `s${n}`, network: "site" }));
  await Promise.all([...site, ask("a")]);
  expect(order.indexOf("a")).toBe(2);
  order = [];
  const nodes = ["n0", "n0", "n0", "n0", "n1", "n1", "n1", "n1"].map((source) => ask(source, { source, network: "site", known: true }));
  await Promise.all(nodes);
  expect(order.slice(1, 5)).toEqual(["n0", "n1", "n0", "n1"]);
});

test("who logged in lately and strangers come by turns, and who failed lately with strangers", async () => {
  const first = ask("x");
  const strangers = [ask("a"), ask("b"), ask("c", { known: true, failing: true })];
  const known = [ask("k", { known: true }), ask("l", { known: true }), ask("m", { known: true })];
  await Promise.all([first, ...strangers, ...known]);
  expect(order).toEqual(["x", "a", "k", "b", "l", "c", "m"]);
});

test("who asks the same is answered with the first that has its turn, and keeps nobody waiting behind him", async () => {
  const same = (source: string, password = "secret") =>
    passwords.matches(password, hash, { source, network: source, failing: false, known: false }, `ci ${password}`).then((right) => {
      order.push(`${source} ${right}`);
    });
  await Promise.all([ask("first"), same("x"), same("y"), same("z", "wrong"), same("y"), ask("yy"), same("x", "wrong")]);
  expect(order).toEqual(["first", "x true", "y true", "y true", "z false", "x false", "yy"]);
});

test("who still waits when it is closed is refused, and nothing is begun anew", async () => {
  const answers = Promise.allSettled([ask("a"), ask("b"), ask("c")]);
  await passwords.close();
  expect((await answers).map(({ status }) => status)).toEqual(["rejected", "rejected", "rejected"]);
  await expect(ask("d")).rejects.toThrow("The password thread ended");
});
