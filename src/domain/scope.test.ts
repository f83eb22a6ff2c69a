import { expect, test } from "vitest";

import type { Access } from "./access.ts";
import { grant, limitedTo, mostAnonymousScopes, mostScopes, neededScope, parseScopes } from "./scope.ts";

const ci = { kind: "user", name: "ci" } as const;
/** Everything of team-a, pull of hub. */
const access: Access = {
  may: (_, action, repository) => repository.startsWith("team-a/") || (action === "pull" && repository.startsWith("hub/")),
  names: () => true,
  isProtected: () => true,
  open: false,
  anonymousMayPull: false,
  namesSomebody: true,
};
const nameOf = (name: string) => (name.startsWith("hub/") && name.split("/").length === 2 ? name.replace("hub/", "hub/library/") : name);
const grantTo = (...scopes: string[]) => grant(parseScopes(scopes) ?? [], { identity: ci, access, nameOf });

test.each([
  ["repository:team-a/app:pull", [{ type: "repository", name: "team-a/app", actions: ["pull"] }]],
  ["repository(plugin):team-a/app:pull,push", [{ type: "repository", name: "team-a/app", actions: ["pull", "push"] }]],
  ["registry:catalog:*", [{ type: "registry", name: "catalog", actions: ["*"] }]],
  ["repository:host:5000/app:pull", [{ type: "repository", name: "host:5000/app", actions: ["pull"] }]],
  ["  repository:a:pull  repository:b:push ", ["a", "b"]],
  ["", []],
  ["repository", []],
  ["repository:a", []],
  ["repository:a:", []],
  ["repository::pull", []],
  ["repository:a:pull,", []],
  ["repository:a:pull:push", []],
  ["a\tb:c:pull", []],
])("%j asks for %j", (text, asked) => {
  const found = parseScopes([text]);
  expect(typeof asked[0] === "string" ? found?.map(({ name }) => name) : found).toEqual(asked);
});

test("so many and no more", () => {
  expect(parseScopes(["repository:a:pull ".repeat(mostScopes)])).toHaveLength(mostScopes);
  expect(parseScopes(["repository:a:pull ".repeat(mostScopes), "x"])).toBeUndefined();
  expect(parseScopes(["repository:a:pull ".repeat(mostAnonymousScopes + 1)], mostAnonymousScopes)).toBeUndefined();
});

test("a token has what was asked for, less what its bearer may not, under the names of this registry", async () => {
  const { granted, scope } = await grantTo(
    "repository:team-a/app:pull,push,fly repository:team-a/app:delete",
    "repository:hub/nginx:pull,push",
    "repository:team-b/app:pull",
    "repository:team-a/all:*",
    "repository:Team-A/../x:pull",
    "registry:catalog:pull",
    "other:team-a/app:pull",
  );
  expect(granted).toEqual({
    repositories: new Map([
      ["team-a/app", new Set(["pull", "push", "delete"])],
      ["hub/library/nginx", new Set(["pull"])],
      ["team-a/all", new Set(["pull", "push", "delete"])],
    ]),
    catalog: false,
  });
  expect(scope).toBe(
    "repository:team-a/app:pull,push repository:team-a/app:delete repository:hub/nginx:pull repository:team-a/all:pull,push,delete",
  );
  expect(await grantTo("registry:catalog:*")).toMatchObject({ granted: { catalog: true }, scope: "registry:catalog:*" });
});

test("others have their turn between two scopes", async () => {
  const order: string[] = [];
  const slow: Access = {
    ...access,
    may: (_identity, _action, repository) => {
      const until = performance.now() + 30;
      while (performance.now() < until);
      order.push(repository);
      return true;
    },
  };
  setImmediate(() => order.push("another request"));
  await grant(parseScopes(["repository:a:pull repository:b:pull repository:c:pull"]) ?? [], { identity: ci, access: slow, nameOf });
  expect(order).toEqual(["a", "another request", "b", "c"]);
});

test("it opens what both it and the rights of now open", async () => {
  const { granted } = await grantTo("repository:team-a/app:pull repository:hub/nginx:pull");
  const limited = limitedTo(access, granted);
  expect(limited.may(ci, "pull", "team-a/app")).toBe(true);
  expect(limited.may(ci, "push", "team-a/app")).toBe(false);
  expect(limited.may(ci, "pull", "team-a/other")).toBe(false);
  expect(limited.may(ci, "pull", "hub/library/nginx")).toBe(true);
  expect(limited.isProtected("team-a/app", "v1")).toBe(true);
  expect(limitedTo({ ...access, may: () => false }, granted).may(ci, "pull", "team-a/app")).toBe(false);
  // Without a token, and where nobody needs one.
  expect(limitedTo(access, undefined).may(ci, "push", "team-a/app")).toBe(true);
  expect(limitedTo({ ...access, open: true }, granted).may(ci, "push", "team-a/app")).toBe(true);
});

test("what a request needs", () => {
  expect(neededScope("pull", "a/b")).toBe("repository:a/b:pull");
  expect(neededScope("push", "a/b")).toBe("repository:a/b:pull,push");
  expect(neededScope("push", "a/b", "c/d")).toBe("repository:a/b:pull,push repository:c/d:pull");
  expect(neededScope("push", "a/b", 'x" ,realm="evil')).toBe("repository:a/b:pull,push");
  expect(neededScope("delete", "a/b")).toBe("repository:a/b:delete");
  expect(neededScope("catalog")).toBe("registry:catalog:*");
});
