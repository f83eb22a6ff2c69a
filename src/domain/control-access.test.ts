import { describe, expect, test } from "vitest";

import { compileAccess } from "./access.ts";
import { anonymous, admin, type Identity } from "./identity.ts";
import type { AccessSubject } from "./subjects.ts";
import {
  accessOf,
  mayCall,
  mayTry,
  roleOf,
  sharedAccounts,
  type BoundRun,
  type Principals,
  type Right,
  type Role,
  type Subject,
} from "./control-access.ts";

const account = (name: string, issuer = "in-cluster") => ({ issuer, namespace: "wharfinger", name });
const identity = (name: string, issuer?: string, pod?: string): Identity => ({
  kind: "serviceAccount",
  ...account(name, issuer),
  ...(pod === undefined ? {} : { pod }),
});
const oidc = (claims: Readonly<Record<string, string>>, groups: readonly string[] = []): Identity => ({
  kind: "oidc",
  issuer: "sso",
  subject: "7",
  claims,
  groups,
});
const principals: Principals = {
  admins: [
    { kind: "User", name: "root" },
    { kind: "ServiceAccount", ...account("root") },
    {
      kind: "OIDC",
      issuer: "sso",
      claims: [
        { name: "sub", value: "7" },
        { name: "amr", value: "mfa" },
      ],
    },
    { kind: "Group", issuer: "sso", name: "admins" },
  ],
  operator: account("operator"),
  jobs: account("jobs"),
  reporters: [
    { cluster: "prod", account: account("reporter") },
    { cluster: "edge", account: account("reporter", "edge") },
  ],
};

test.each<readonly [string, Identity, unknown]>([
  ["nobody", anonymous, { kind: "anonymous" }],
  ["the admin token", admin, { kind: "admin" }],
  ["a user", { kind: "user", name: "ci" }, { kind: "user" }],
  ["a user of access.admins", { kind: "user", name: "root" }, { kind: "admin" }],
  ["a robot that is called so", { kind: "robot", name: "root" }, { kind: "user" }],
  ["whom a provider knows by all claims", oidc({ sub: "7", amr: "mfa" }), { kind: "admin" }],
  ["by one of them", oidc({ sub: "7" }), { kind: "user" }],
  ["another provider's with the same claims", { ...oidc({ sub: "7", amr: "mfa" }), issuer: "github" } as Identity, { kind: "user" }],
  ["a member of a group", oidc({ sub: "8" }, ["admins"]), { kind: "admin" }],
  ["of a group that another provider calls so", { ...oidc({ sub: "8" }, ["admins"]), issuer: "github" } as Identity, { kind: "user" }],
  ["the operator", identity("operator", undefined, "operator-0"), { kind: "operator" }],
  ["another cluster's operator", identity("operator", "edge"), { kind: "user" }],
  ["a job's Pod", identity("jobs", undefined, "clean-1"), { kind: "job", pod: "clean-1" }],
  ["a job's token without a Pod", identity("jobs"), { kind: "job", pod: undefined }],
  ["a reporter", identity("reporter"), { kind: "reporter", cluster: "prod" }],
  ["the same name in another cluster", identity("reporter", "edge"), { kind: "reporter", cluster: "edge" }],
  ["an account of access.admins", identity("root"), { kind: "admin" }],
  ["its name in another cluster", identity("root", "edge"), { kind: "user" }],
  ["a CI job", { kind: "oidc", issuer: "github", subject: "root", claims: { sub: "root" }, groups: ["root"] }, { kind: "user" }],
  ["an account with a user's name", { ...identity("root"), namespace: "team-a" } as Identity, { kind: "user" }],
])("%s", (_, identity, role) => expect(roleOf(identity, principals)).toEqual(role));

test("an account that has two parts is found", () => {
  expect(sharedAccounts(principals)).toEqual([]);
  expect(sharedAccounts({ ...principals, jobs: account("operator") })).toEqual([account("operator")]);
  expect(sharedAccounts({ ...principals, admins: [{ kind: "ServiceAccount", namespace: "wharfinger", name: "operator" }] })).toEqual([
    account("operator"),
  ]);
  const twice = [
    { cluster: "prod", account: account("reporter") },
    { cluster: "test", account: account("reporter") },
  ];
  expect(sharedAccounts({ admins: [], reporters: twice })).toEqual([account("reporter")]);
});

const run = (part: Partial<BoundRun> = {}): Role => ({
  kind: "run",
  run: { id: "r1", kind: "prune", policy: "default/clean", covers: (name) => name === "team/app", ...part },
});

describe("a run", () => {
  test.each<readonly [string, Right, Subject, boolean]>([
    ["is heard about itself", "run", { run: "r1" }, true],
    ["and about no other", "run", { run: "r2" }, false],
    ["plans its policy", "prune", { policy: "default/clean" }, true],
    ["and no other", "prune", { policy: "default/other" }, false],
    ["applies in its own name", "prune", { policy: "default/clean", run: "r1" }, true],
    ["and in no other", "prune", { policy: "default/clean", run: "r2" }, false],
    ["and not for another policy", "prune", { policy: "default/other", run: "r1" }, false],
    ["with the approval that it was registered with", "prune", { run: "r1", approves: "plan-1" }, true],
    ["and with no other", "prune", { run: "r1", approves: "plan-2" }, false],
    ["reaches repositories of its policy", "prune", { repository: "team/app" }, true],
    ["and no others", "prune", { repository: "team/other" }, false],
    ["may do nothing that is not said to be its own", "prune", {}, false],
    ["is no run of another job", "tag-sync", { run: "r1" }, false],
    ["is no operator", "operator", { run: "r1" }, false],
    ["no reporter", "reporter", { cluster: "prod" }, false],
    ["and no administrator", "admin", { run: "r1" }, false],
  ])("%s", (_, right, subject, may) => expect(mayCall(run({ approved: "plan-1" }), right, subject)).toBe(may));

  test("approves nothing that nobody approved for it", () => {
    expect(mayCall(run(), "prune", { run: "r1", approves: "plan-1" })).toBe(false);
  });
});

test("a reporter reports for its own cluster, and not for one that is not named", () => {
  const reporter: Role = { kind: "reporter", cluster: "prod" };
  expect(mayCall(reporter, "reporter", { cluster: "prod" })).toBe(true);
  expect(mayCall(reporter, "reporter", { cluster: "edge" })).toBe(false);
  expect(mayCall(reporter, "reporter", {})).toBe(false);
});

test("what may be tried may be called by somebody, and nobody calls what may not be tried", () => {
  const rights: Right[] = ["admin", "operator", "reader", "run", "proposal", "tag-sync", "prune", "reporter"];
  const roles: Role[] = [
    { kind: "anonymous" },
    { kind: "stranger" },
    { kind: "user" },
    { kind: "operator" },
    { kind: "admin" },
    { kind: "reporter", cluster: "prod" },
    run(),
    run({ kind: "tag-sync" }),
  ];
  const own: Subject = { run: "r1", policy: "default/clean", repository: "team/app", cluster: "prod" };
  for (const role of roles)
    for (const right of rights) expect(mayCall(role, right, own), `${role.kind} ${right}`).toBe(mayTry(role, right));
  expect(roles.map((role) => rights.filter((right) => mayTry(role, right)).length)).toEqual([0, 0, 1, 4, 8, 2, 4, 4]);
});

test("what policies give to the account of jobs, no run has; what they give to everybody, it has", () => {
  const rule = (subject: AccessSubject, include: string) => ({
    subjects: [subject],
    repositories: { include: [include], exclude: [] },
    actions: ["pull", "push", "delete"] as const,
  });
  const access = compileAccess({
    rules: [
      rule({ kind: "Group", issuer: "in-cluster", name: "system:serviceaccounts" }, "shared/**"),
      rule({ kind: "ServiceAccount", namespace: "wharfinger", name: "*" }, "shared/**"),
      rule({ kind: "Anonymous" }, "public/**"),
    ],
    everHadPolicy: true,
    openUntilFirstPolicy: false,
    anonymousPull: "None",
    isPublicUpstream: () => false,
  });
  const job = identity("jobs", undefined, "images-1");
  const rights = (role: Role, name: string) =>
    (["pull", "push", "delete"] as const).filter((action) => accessOf(role, access).may(job, action, name));
  expect(rights({ kind: "user" }, "shared/app")).toEqual(["pull", "push", "delete"]);
  for (const kind of ["tag-sync", "prune"] as const) {
    expect(rights(run({ kind }), "shared/app")).toEqual([]);
    expect(rights(run({ kind }), "public/app")).toEqual(["pull", "push", "delete"]);
  }
  const covers = (repository: string) => repository === "vendor/app";
  expect(rights(run({ kind: "tag-sync", covers }), "vendor/app")).toEqual(["pull"]);
  expect(rights(run({ kind: "prune", covers }), "vendor/app")).toEqual([]);
});
