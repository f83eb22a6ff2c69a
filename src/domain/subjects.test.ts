import { expect, test } from "vitest";

import { admin, anonymous, type Identity } from "./identity.ts";
import { coversOf, namedBearers, type AccessSubject } from "./subjects.ts";

const account = (part: { issuer?: string; namespace?: string; name?: string } = {}): Identity => ({
  kind: "serviceAccount",
  issuer: "in-cluster",
  namespace: "team-a",
  name: "builder",
  pod: "build-1",
  ...part,
});
const job = (claims: Readonly<Record<string, string>>, part: { issuer?: string; groups?: readonly string[] } = {}): Identity => ({
  kind: "oidc",
  issuer: "github",
  subject: "repo:octo/app:ref:refs/heads/main",
  claims,
  groups: [],
  ...part,
});
const main = { repository: "octo/app", ref: "refs/heads/main" };

const builder: AccessSubject = { kind: "ServiceAccount", namespace: "team-a", name: "builder" };
const teamA: AccessSubject = { kind: "ServiceAccount", namespace: "team-a", name: "*" };
const edge: AccessSubject = { ...builder, issuer: "edge" };
const workflow: AccessSubject = {
  kind: "OIDC",
  issuer: "github",
  claims: Object.entries(main).map(([name, value]) => ({ name, value })),
};
const claim = (name: string, value: string): AccessSubject => ({ kind: "OIDC", issuer: "github", claims: [{ name, value }] });
const group = (name: string, issuer = "in-cluster"): AccessSubject => ({ kind: "Group", issuer, name });

test.each<readonly [string, AccessSubject, Identity, boolean]>([
  ["a ServiceAccount", builder, account(), true],
  ["another one", builder, account({ name: "builder-2" }), false],
  ["its name in another namespace", builder, account({ namespace: "team-b" }), false],
  ["its name in another cluster", builder, account({ issuer: "edge" }), false],
  ["that of another cluster", edge, account({ issuer: "edge" }), true],
  ["the name of that of another cluster here", edge, account(), false],
  ["a user of its name", builder, { kind: "user", name: "builder" }, false],
  ["a CI job that calls itself so", builder, job({ sub: "system:serviceaccount:team-a:builder" }, { issuer: "in-cluster" }), false],
  ["all of a namespace", teamA, account({ name: "anybody" }), true],
  ["of another namespace", teamA, account({ namespace: "team-ab" }), false],
  ["of the namespace in another cluster", teamA, account({ issuer: "edge" }), false],

  ["all claims", workflow, job({ ...main, actor: "eve" }), true],
  ["one that differs", workflow, job({ ...main, ref: "refs/heads/x" }), false],
  ["one that is longer", workflow, job({ ...main, repository: "octo/app-2" }), false],
  ["one in capitals", workflow, job({ ...main, repository: "Octo/app" }), false],
  ["one that is missing", workflow, job({ repository: "octo/app" }), false],
  ["another issuer with the same claims", workflow, job(main, { issuer: "gitlab" }), false],
  ["no claims at all match nobody", { kind: "OIDC", issuer: "github", claims: [] }, job(main), false],
  ["what every object has is no claim", claim("constructor", "function Object() { [native code] }"), job(main), false],
  ["a pattern is none", claim("repository", "octo/*"), job(main), false],
  ["a claim of groups is no group", group("octo/app", "github"), job({ groups: "octo/app" }), false],
  ["a ServiceAccount has no claims", { ...workflow, issuer: "in-cluster" }, account(), false],

  ["a group", group("registry", "corp"), job({}, { issuer: "corp", groups: ["people", "registry"] }), true],
  ["another group", group("registry", "corp"), job({}, { issuer: "corp", groups: ["registry-readers"] }), false],
  ["another issuer's group", group("registry", "corp"), job({}, { groups: ["registry"] }), false],
  ["Kubernetes' group of all accounts", group("system:serviceaccounts"), account(), true],
  ["of another cluster", group("system:serviceaccounts", "edge"), account(), false],
  ["of a namespace", group("system:serviceaccounts:team-a"), account(), true],
  ["of another namespace", group("system:serviceaccounts:team-b"), account(), false],
  [
    "an issuer's own group of that name is its own",
    group("system:serviceaccounts"),
    job({}, { groups: ["system:serviceaccounts"] }),
    false,
  ],
  ["no other group of Kubernetes", group("system:authenticated"), account(), false],

  ["nobody", teamA, anonymous, false],
  ["the admin token is no subject", group("system:serviceaccounts"), admin, false],
])("%s", (_, subject, identity, expected) => expect(coversOf([subject])(identity)).toBe(expected));

test("any of them counts, and Anonymous is everybody", () => {
  const some = coversOf([{ kind: "User", name: "ci" }, builder, workflow]);
  expect([{ kind: "user", name: "ci" } as const, account(), job(main)].map(some)).toEqual([true, true, true]);
  expect([{ kind: "user", name: "eve" } as const, account({ name: "x" }), job({}), anonymous].map(some)).toEqual([
    false,
    false,
    false,
    false,
  ]);
  const all = coversOf([builder, { kind: "Anonymous" }]);
  expect([anonymous, { kind: "user", name: "eve" } as const, job({})].map(all)).toEqual([true, true, true]);
});

test("a bearer is named by whom subjects cover as one of their own, and not by what everybody may", () => {
  const users: AccessSubject = { kind: "User", name: "octo/app" };
  const named = namedBearers([{ kind: "Anonymous" }, users, builder, workflow, claim("actor", "eve"), group("admins", "corp")]);
  const rows: readonly (readonly [ReturnType<typeof job>, boolean])[] = [
    [job(main), true],
    [job({ ...main, actor: "mallory" }), true],
    [job({ ...main, ref: "refs/heads/x" }), false],
    [job({ ref: main.ref }), false],
    [job({ actor: "eve" }), true],
    [job({ actor: "eve" }, { issuer: "gitlab" }), false],
    [job({}, { issuer: "corp", groups: ["people", "admins"] }), true],
    [job({}, { issuer: "github", groups: ["admins"] }), false],
    [job({ groups: "admins" }, { issuer: "corp" }), false],
    [job({}), false],
  ];
  for (const [bearer, expected] of rows) {
    expect(named(bearer as Extract<Identity, { kind: "oidc" }>)).toBe(expected);
    expect([workflow, claim("actor", "eve"), group("admins", "corp")].some((subject) => coversOf([subject])(bearer))).toBe(expected);
  }
  expect(namedBearers([])(job(main) as Extract<Identity, { kind: "oidc" }>)).toBe(false);
});
