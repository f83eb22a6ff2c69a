// What an AccessPolicy says of the users that it names.

import { expect, test } from "vitest";

import type { AccessPolicySpec } from "../../api/kinds.ts";
import type { SecretSource } from "../../domain/secrets.ts";
import { emptyView } from "../../record/record-view.ts";
import { validateResource } from "../../validation/validate-resource.ts";
import { knownUsers } from "../known-users.ts";
import { accessPolicyReconciler } from "./access-policy.ts";

const key = { kind: "AccessPolicy", namespace: "team-a", name: "pushers" } as const;
const hash = `$2b$04$${"x".repeat(53)}`;

function specOf(...names: string[]): AccessPolicySpec {
  return specFor([{ kind: "Anonymous" }, ...names.map((name) => ({ kind: "User", name }))]);
}

function specFor(subjects: readonly unknown[]): AccessPolicySpec {
  const judged = validateResource({ ...key, spec: { subjects, repositories: { include: ["**"] }, actions: ["pull"] } });
  if (judged.problems !== undefined) throw new Error(JSON.stringify(judged.problems));
  return judged.spec;
}

/** `data`: of the Secret default/users; undefined: there is none. */
function report(
  spec: AccessPolicySpec,
  data: Readonly<Record<string, string>> | undefined,
  { administrators = key.namespace, unseen }: { administrators?: string; unseen?: string } = {},
) {
  const found = data && new Map(Object.entries(data).map(([name, text]) => [name, new TextEncoder().encode(text)]));
  const secrets: SecretSource = {
    secret: (namespace, name) => (`${namespace}/${name}` === "default/users" ? found : undefined),
    configMap: () => undefined,
    onChange: () => () => undefined,
  };
  const users = knownUsers(secrets, { namespace: "default", name: "users", unseen });
  return accessPolicyReconciler.report(key, spec, {
    view: emptyView,
    delivery: undefined,
    upstreams: new Map(),
    secrets,
    users,
    administrators,
    awaitsProbe: () => false,
    runsOf: () => undefined,
  });
}

test.each([
  [undefined, "SecretNotFound", "there is no Secret default/users: create it with the key htpasswd"],
  [{}, "SecretInvalid", "Secret default/users has no key htpasswd (it is empty): add it"],
  [{ users: "", auth: "" }, "SecretInvalid", "Secret default/users has no key htpasswd (it has auth, users): add it"],
])("without users nobody can log in, and the policy is not ready: %j", (data, reason, message) => {
  const said = { reason, path: "spec.subjects[1].name", message: `${message}; until then nobody can log in as ci or eve` };
  expect(report(specOf("ci", "eve"), data)).toEqual({
    notReady: said,
    conditions: [{ type: "CredentialsLoaded", status: "False", ...said }],
    details: { subjects: expect.any(String) as string },
  });
});

test.each([
  [["ci", "eve"], `ci:${hash}`, 2, "Secret default/users has no user eve"],
  [["ci", "eve", "ci"], "", 1, "Secret default/users has no user ci and no user eve"],
  [
    ["ci"],
    `# people\nci:secret\neve\n`,
    1,
    "Secret default/users has no user ci; its line 2 cannot be used, because the hash is not bcrypt; make it with htpasswd -B (and 1 more lines like it)",
  ],
  [["a", "b", "c", "d", "e", "f"], "", 1, "Secret default/users has no user a, b, c, d, e … (6 names)"],
])("%j of %j: the policy stays ready and says who is missing", (names, htpasswd, subject, message) => {
  const note = { path: `spec.subjects[${subject}].name`, message };
  expect(report(specOf(...names), { htpasswd })).toEqual({
    notes: [note],
    conditions: [{ type: "CredentialsLoaded", status: "False", reason: "UserNotFound", ...note }],
    details: { subjects: expect.any(String) as string },
  });
});

test("who is no administrator is not told who is a user, nor what the users' Secret has", () => {
  const reports = ["", `ci:${hash}`, `ci:${hash}\neve:${hash}\n`, "ci:secret\n"].map((htpasswd) =>
    report(specOf("ci", "eve"), { htpasswd }, { administrators: "home" }),
  );
  for (const said of reports) expect(said).toEqual({ conditions: [], details: { subjects: expect.any(String) as string } });
  const unusable: (Record<string, string> | undefined)[] = [undefined, {}, { auth: "" }];
  const without = unusable.map((data) => report(specOf("ci"), data, { administrators: "home" }));
  expect(without.map(({ notReady }) => notReady?.reason)).toEqual(["SecretNotFound", "SecretInvalid", "SecretInvalid"]);
  for (const { notReady } of without) {
    expect(notReady?.message).toBe(
      "this installation has no users that could log in: until its administrators have mended that nobody can as ci",
    );
  }
});

test("where the users' Secret is in a namespace that nobody watches, administrators are told what to do, and nothing is called missing", () => {
  const unseen = "this operator does not watch namespace default";
  expect(report(specOf("ci", "eve"), undefined, { unseen })).toEqual({
    conditions: [
      {
        type: "CredentialsLoaded",
        status: "Unknown",
        reason: "NotDelivered",
        message: `whether anybody can log in as ci or eve is not known here: users come from Secret default/users (setting access.users.secretRef), and ${unseen}, or give the registry's processes a folder of Secrets that has it (--secrets)`,
      },
    ],
    details: { subjects: expect.any(String) as string },
  });
  expect(report(specOf("ci"), undefined, { unseen, administrators: "home" }).conditions).toEqual([]);
});

test("everybody is there", () => {
  expect(report(specOf("ci"), { htpasswd: `ci:${hash}\n` })).toEqual({
    conditions: [
      { type: "CredentialsLoaded", status: "True", reason: "Succeeded", message: "Secret default/users has every user that is named" },
    ],
    details: { subjects: expect.any(String) as string },
  });
});

test("a policy that names no user, and a control plane that may not look, have nothing to say of users", () => {
  expect(report(specOf(), undefined)).toEqual({ conditions: [], details: { subjects: "Anonymous" } });
  expect(knownUsers(undefined, { namespace: "default", name: "users" })).toBeUndefined();
});

test("its subjects in short", () => {
  const subjects = [
    { kind: "Group", issuer: "github", name: "ops" },
    { kind: "ServiceAccount", namespace: "ci", name: "builder" },
    { kind: "OIDC", issuer: "github", claims: [{ name: "repository", value: "a/b" }] },
  ];
  expect(report(specFor(subjects), undefined).details).toEqual({ subjects: "Group ops, ServiceAccount ci/builder, OIDC github" });
});
