// What the log says of Secrets of logins that nobody here looks at. Said by an operator: test/kubernetes/credentials.test.ts.

import { expect, test } from "vitest";

import { unseenLogins } from "./unseen-logins.ts";

const secretIn = (namespace: string, name: string) => ({ secretRef: { namespace, name } });
const access = { users: secretIn("a", "users"), robots: secretIn("b", "robots") };
const signingKeySecret = { namespace: "c", name: "signing" };
const said = (...watched: string[]) =>
  unseenLogins({ access, auth: { signingKeySecret } }, (namespace) =>
    watched.includes(namespace) ? undefined : `nobody watches namespace ${namespace}: watch it`,
  );
const byHand = "or give the registry's processes a folder of Secrets that has it (--secrets)";

test("keys for access tokens in a namespace that nobody watches are said, as users and robots are", () => {
  expect(said("a", "b")).toEqual([
    `keys for access tokens come from Secret c/signing (setting auth.signingKeySecret), and nobody watches namespace c: watch it, ${byHand}. Without them no access tokens are given out`,
  ]);
  expect(said("b", "c")).toEqual([
    `users come from Secret a/users (setting access.users.secretRef), and nobody watches namespace a: watch it, ${byHand}`,
  ]);
  expect(said("a", "c")).toEqual([
    `robots come from Secret b/robots (setting access.robots.secretRef), and nobody watches namespace b: watch it, ${byHand}`,
  ]);
});

test("nothing is said of Secrets that somebody looks at, nor of keys that the registry makes itself", () => {
  expect(said("a", "b", "c")).toEqual([]);
  expect(unseenLogins({ access, auth: {} }, (namespace) => (namespace === "c" ? "nobody watches it" : undefined))).toEqual([]);
});
