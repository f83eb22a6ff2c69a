// What an AccessPolicy says of the users and issuers that it names.

import { expect, test } from "vitest";

import type { AccessPolicySpec } from "../../api/kinds.ts";
import type { MountedOwner } from "../../domain/mounted-secrets.ts";
import type { SecretSource } from "../../domain/secrets.ts";
import { emptyView } from "../../record/record-view.ts";
import type { DeliveryState } from "../ports.ts";
import { validateResource } from "../../validation/validate-resource.ts";
import type { KnownIssuer } from "../credentials/known-issuers.ts";
import { knownUsers } from "../credentials/known-users.ts";
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
  {
    administrators = key.namespace,
    unseen,
    issuers,
    robots,
    wasReady = false,
    states,
  }: {
    administrators?: string;
    unseen?: string;
    issuers?: readonly KnownIssuer[];
    robots?: Record<string, string>;
    wasReady?: boolean;
    /** How far the Secrets have come, by their names; undefined: processes look for themselves. */
    states?: Readonly<Record<"users" | "robots", DeliveryState>>;
  } = {},
) {
  const bytesOf = (texts: Readonly<Record<string, string>> | undefined) =>
    texts && new Map(Object.entries(texts).map(([name, text]) => [name, new TextEncoder().encode(text)]));
  const found = new Map([
    ["default/users", bytesOf(data)],
    ["default/robots", bytesOf(robots)],
  ]);
  const secrets: SecretSource = {
    secret: (namespace, name) => found.get(`${namespace}/${name}`),
    configMap: () => undefined,
    onChange: () => () => undefined,
  };
  const delivery = states && { stateOf: ({ name }: MountedOwner) => states[name as keyof typeof states] };
  const ref = { namespace: "default", name: "users", unseen, robots: { namespace: "default", name: "robots" } };
  const users = knownUsers(secrets, ref, delivery);
  return accessPolicyReconciler.report(key, spec, {
    view: emptyView,
    delivery,
    upstreams: new Map(),
    recordedGeneration: () => 1,
    secrets,
    users,
    issuers,
    administrators,
    wasReady: () => wasReady,
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
    "Secret default/users has no user ci; its line 2 cannot be used, because the hash is neither bcrypt nor argon2id; make it with htpasswd -B (and 1 more lines like it)",
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

const builders = { kind: "ServiceAccount", namespace: "team-a", name: "*" };
const workflow = { kind: "OIDC", issuer: "github", claims: [{ name: "repository", value: "octo/app" }] };
const group = (issuer: string, name: string) => ({ kind: "Group", issuer, name });
const known: readonly KnownIssuer[] = [
  { name: "in-cluster" },
  { name: "edge", kind: "Kubernetes" },
  { name: "github", kind: "OIDC" },
  { name: "corp", kind: "OIDC", groupsClaim: "groups" },
];

test("subjects whose tokens could come are said nothing of", () => {
  const groups = [group("edge", "system:serviceaccounts"), group("in-cluster", "system:serviceaccounts:team-a"), group("corp", "registry")];
  const said = report(specFor([builders, { ...builders, issuer: "edge" }, workflow, ...groups]), {}, { issuers: known });
  expect(said).toEqual({ conditions: [], details: { subjects: expect.any(String) as string } });
});

test.each([
  [{ ...builders, issuer: "prod" }, ".issuer", "the settings have no issuer prod (auth.issuers)"],
  [group("nobody", "a"), ".issuer", "the settings have no issuer nobody (auth.issuers)"],
  [{ ...builders, issuer: "github" }, ".issuer", "issuer github is no cluster (auth.issuers, kind: OIDC) and has no ServiceAccounts"],
  [
    { ...workflow, issuer: "edge" },
    ".issuer",
    "issuer edge is a cluster (auth.issuers), whose tokens have no such claims: name a ServiceAccount or a Group",
  ],
  [group("github", "octo"), ".issuer", "auth.issuers does not say which claim of github holds groups (groupsClaim)"],
  [
    group("edge", "system:authenticated"),
    ".issuer",
    "the ServiceAccounts of cluster edge are in the groups system:serviceaccounts and system:serviceaccounts:<namespace>, and in no other",
  ],
] as const)("%j is nobody, and the policy is not ready", (subject, field, why) => {
  const said = report(specFor([{ kind: "User", name: "ci" }, subject]), { htpasswd: `ci:${hash}\n` }, { issuers: known });
  const message = `${why}; nobody is this subject, and it opens nothing`;
  expect(said.notReady).toEqual({ reason: "IssuerNotFound", path: `spec.subjects[1]${field}`, message });
});

test("the cluster that is meant where none is named needs to be in the settings, too", () => {
  const [, , github] = known;
  expect(report(specFor([builders]), {}, { issuers: [github!] }).notReady).toEqual({
    reason: "IssuerNotFound",
    path: "spec.subjects[0]",
    message: "the settings have no issuer in-cluster (auth.issuers); nobody is this subject, and it opens nothing",
  });
});

test("a robot is a user too, with or without others, and what is wrong with its key is said", () => {
  const good = JSON.stringify({ sha256: "0f".repeat(32) });
  const said = (...args: Parameters<typeof report>) => report(...args).conditions.map(({ status, message }) => [status, message]);
  expect(said(specOf("ci", "node"), { htpasswd: `ci:${hash}\n` }, { robots: { node: good } })).toEqual([
    ["True", "Secrets default/users and default/robots have every user that is named"],
  ]);
  expect(said(specOf("node"), undefined, { robots: { node: good } })).toEqual([
    ["True", "Secret default/robots has every user that is named"],
  ]);
  const robots = { ci: good, node: "wfr_password", other: "{}" };
  expect(said(specOf("ci", "node"), { htpasswd: `ci:${hash}\n` }, { robots })).toEqual([
    [
      "False",
      "Secrets default/users and default/robots have no user node; the key ci of default/robots cannot be used, because a user in htpasswd has this name: give the robot another one, or take the user out (and 2 more keys like it)",
    ],
  ]);
});

const delivered: DeliveryState = { state: "delivered" };
const unsaid: DeliveryState = { state: "unsaid" };
const away = (name: string, served?: boolean): DeliveryState => ({
  state: "onItsWay",
  served,
  reason: "Progressing",
  message: `not all have ${name}`,
});
const unread = (name: string): DeliveryState => ({
  state: "unread",
  served: true,
  reason: "NotDelivered",
  message: `${name} could not be read`,
});
const refused: DeliveryState = { state: "refused", reason: "CredentialsTooLarge", message: "too large" };
const jane = { htpasswd: `jane:${hash}\n` };
const node = { node: JSON.stringify({ sha256: "0f".repeat(32) }) };
const refuses = (name: string) => `until then the registry may refuse whoever logs in as ${name}`;

/** Why the policy is not ready, and CredentialsLoaded. */
function brief({ notReady, conditions }: ReturnType<typeof report>) {
  return [notReady?.reason, ...conditions.map(({ status, reason, message }) => [status, reason, message])];
}

test("a new policy is not ready before every process has whom it names; one that was ready stays so, and says who is on his way", () => {
  const said = (names: string[], states: Record<"users" | "robots", DeliveryState>, wasReady = false) =>
    brief(report(specOf(...names), jane, { robots: node, states, wasReady }));
  const users = ["False", "Progressing", `not all have users; ${refuses("jane")}`];
  const all = [
    "True",
    "Succeeded",
    "Secrets default/users and default/robots have every user that is named, and every process of the registry knows them",
  ];
  for (const served of [true, false, undefined]) {
    const states = { users: away("users", served), robots: delivered };
    expect(said(["jane"], states)).toEqual(["Progressing", users]);
    expect(said(["jane"], states, true)).toEqual([undefined, users]);
  }
  expect(said(["jane"], { users: delivered, robots: delivered })).toEqual([undefined, all]);
  // Robots are nothing to whoever names none, and a robot counts only beside the users.
  expect(said(["jane"], { users: delivered, robots: away("robots") })).toEqual([undefined, all]);
  expect(said(["jane", "node"], { users: delivered, robots: away("robots") })).toEqual([
    "Progressing",
    ["False", "Progressing", `not all have robots; ${refuses("node")}`],
  ]);
  expect(said(["node"], { users: away("users"), robots: delivered })[0]).toBe("Progressing");
  expect(said(["node"], { users: delivered, robots: refused })[0]).toBe("CredentialsTooLarge");
  expect(said(["node"], { users: delivered, robots: refused }, true)[0]).toBeUndefined();
});

test("where processes do not say what they have, a policy goes by the Secrets alone", () => {
  const said = report(specOf("jane", "node"), jane, { robots: node, states: { users: unsaid, robots: unsaid } });
  expect(brief(said)).toEqual([undefined, ["True", "Succeeded", "Secrets default/users and default/robots have every user that is named"]]);
});

test("who is not in the Secrets is waited for by nobody, unless one of them could not be read", () => {
  const said = (states: Record<"users" | "robots", DeliveryState>, wasReady = false, names = ["eve", "jane"]) =>
    brief(report(specOf(...names), jane, { robots: node, states, wasReady }));
  const missing = ["False", "UserNotFound", "Secrets default/users and default/robots have no user eve"];
  const [coming, robotsUnread] = [away("users"), { users: delivered, robots: unread("robots") }];
  expect(said({ users: coming, robots: delivered }, false, ["eve"])).toEqual([undefined, missing]);
  expect(said({ users: coming, robots: delivered }, true)).toEqual([undefined, missing]);
  expect(said({ users: coming, robots: delivered })).toEqual([
    "Progressing",
    ["False", "Progressing", `not all have users; ${refuses("jane")}`],
  ]);
  expect(said(robotsUnread)).toEqual(["NotDelivered", ["False", "NotDelivered", `robots could not be read; ${refuses("eve")}`]]);
  expect(said(robotsUnread, true, ["jane"])[0]).toBeUndefined();
});

test("a tenant's new policy waits for all users together, whomever it names, and he is told nothing of the Secrets", () => {
  const said = (name: string, states: Record<"users" | "robots", DeliveryState>, wasReady = false) =>
    report(specOf(name), jane, { robots: node, states, wasReady, administrators: "home" });
  for (const states of [
    { users: away("users"), robots: delivered },
    { users: delivered, robots: away("robots") },
  ]) {
    const [ofUser, ofNobody] = ["jane", "nemo"].map((name) => JSON.stringify(said(name, states)).replaceAll(name, "X"));
    expect(ofUser).toBe(ofNobody);
    expect(said("jane", states)).toMatchObject({
      notReady: { reason: "Progressing" },
      conditions: [{ status: "False", reason: "Progressing" }],
    });
    expect(JSON.stringify(said("jane", states))).not.toMatch(/not all have|default/);
    expect(brief(said("jane", states, true))).toEqual([undefined]);
  }
  expect(brief(said("jane", { users: delivered, robots: refused }))).toEqual([undefined]);
  expect(brief(said("jane", { users: delivered, robots: delivered }))).toEqual([undefined]);
});
