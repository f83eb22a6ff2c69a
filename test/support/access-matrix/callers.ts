// Everybody who asks in the matrix of access, and in words who has which right: the oracle knows nothing else of the program.

import { createHash } from "node:crypto";

import { basic, bearer, job, type TestIssuers } from "../issuers.ts";
import { adminToken } from "../registry.ts";
import { githubClaims, gitlabClaims } from "../token-provider.ts";

export type Action = "pull" | "push" | "delete";

/** Parts of the registry that rights are about. Of `hub`, an upstream without credentials, everybody may pull. */
export type Area = "team-a" | "team-b" | "public" | "hub" | "priv" | "rest of priv" | "elsewhere";

export interface Caller {
  /** The header that is sent. */
  readonly authorization: (issuers: TestIssuers) => Promise<string | undefined> | string | undefined;
  /**
   * `nobody`: shows no credentials. `stranger`: a provider knows it, and nothing here names it. `wrong`: shows some that do not count. `idle`: a job's Pod
   * without a run.
   */
  readonly is: "nobody" | "stranger" | "known" | "wrong" | "idle";
  /** Beside what everybody may: pull of `public` and `hub`. */
  readonly may?: Partial<Record<Area, readonly Action[]>>;
}

export const everything: Caller["may"] = {
  "team-a": ["pull", "push", "delete"],
  "team-b": ["pull", "push", "delete"],
  public: ["pull", "push", "delete"],
  hub: ["pull", "push", "delete"],
  priv: ["pull", "push", "delete"],
  "rest of priv": ["pull", "push", "delete"],
  elsewhere: ["pull", "push", "delete"],
};
export const pullPush = ["pull", "push"] as const;
export const mirror = { priv: ["pull"], "rest of priv": ["pull"] } as const;
export const builder = { namespace: "team-a", name: "builder" };
export const jobs = { namespace: "wharfinger", name: "wharfinger-jobs" };
export const robotPassword = (name: string) => `wfr_${createHash("sha256").update(name).digest("base64url")}`;

export const callers = {
  nobody: { authorization: () => undefined, is: "nobody" },
  "nobody, as podman says it": { authorization: () => basic("", ""), is: "nobody" },
  "a user who may push": { authorization: () => basic("ci"), is: "known", may: { "team-a": pullPush, ...mirror } },
  "a user who may delete": { authorization: () => basic("janitor"), is: "known", may: { "team-a": ["pull", "delete"] } },
  "a user who may push and not pull": { authorization: () => basic("blind"), is: "known", may: { "team-a": ["push"] } },
  "a user without a policy": { authorization: () => basic("eve"), is: "known" },
  "an administrator of the control API": { authorization: () => basic("root"), is: "known" },
  "the admin token": { authorization: () => `Bearer ${adminToken}`, is: "known", may: everything },
  "a robot": { authorization: () => basic("node", robotPassword("node")), is: "known", may: { "team-a": ["pull"], ...mirror } },
  "a robot without a policy": { authorization: () => basic("idle", robotPassword("idle")), is: "known" },
  "a robot that has expired": { authorization: () => basic("late", robotPassword("late")), is: "wrong" },
  "a ServiceAccount": { authorization: ({ home }) => bearer(home, builder), is: "known", may: { "team-a": ["pull", "push", "delete"] } },
  "a ServiceAccount's token as password": {
    authorization: async ({ home }) => basic("serviceaccount", await home.token(builder)),
    is: "known",
    may: { "team-a": ["pull", "push", "delete"] },
  },
  "its name in another namespace": { authorization: ({ home }) => bearer(home, { ...builder, namespace: "team-x" }), is: "known" },
  "its name in another cluster": { authorization: ({ edge }) => bearer(edge, builder), is: "known", may: mirror },
  "another account of its namespace": { authorization: ({ home }) => bearer(home, { ...builder, name: "default" }), is: "known" },
  "any account of a namespace": {
    authorization: ({ home }) => bearer(home, { namespace: "team-b", name: "x" }),
    is: "known",
    may: { "team-b": pullPush },
  },
  "a namespace that begins the same": { authorization: ({ home }) => bearer(home, { namespace: "team-b2", name: "x" }), is: "known" },
  "an account in Kubernetes' group of a namespace": {
    authorization: ({ home }) => bearer(home, { namespace: "staging", name: "x" }),
    is: "known",
    may: { "team-a": ["pull"] },
  },
  "an account of that namespace in another cluster": {
    authorization: ({ edge }) => bearer(edge, { namespace: "staging", name: "x" }),
    is: "known",
  },
  "a CI job": { authorization: ({ github }) => job(github, githubClaims), is: "known", may: { "team-a": pullPush } },
  "a CI job's token as password": {
    authorization: async ({ github }) => basic("github", await github.token(githubClaims)),
    is: "known",
    may: { "team-a": pullPush },
  },
  "a CI job of another branch": { authorization: ({ github }) => job(github, { ...githubClaims, ref: "refs/heads/x" }), is: "stranger" },
  "a CI job of a fork": { authorization: ({ github }) => job(github, { ...githubClaims, repository: "eve/app" }), is: "stranger" },
  "the same claims by another issuer": { authorization: ({ gitlab }) => job(gitlab, githubClaims), is: "stranger" },
  "a member of a group": { authorization: ({ gitlab }) => job(gitlab, gitlabClaims), is: "known", may: { "team-b": ["pull"] } },
  "no member of it": {
    authorization: ({ gitlab }) => job(gitlab, { ...gitlabClaims, groups_direct: ["group", "group/maintainers/guests"] }),
    is: "stranger",
  },
  "that group by an issuer without groups": { authorization: ({ github }) => job(github, { ...gitlabClaims, sub: "x" }), is: "stranger" },
  "the operator": { authorization: ({ home }) => bearer(home, { namespace: "wharfinger", name: "wharfinger-operator" }), is: "known" },
  "a reporter": { authorization: ({ home }) => bearer(home, { namespace: "wharfinger", name: "wharfinger-reporter" }), is: "known" },
  "a job in its run": { authorization: ({ home }) => bearer(home, { ...jobs, pod: "images-1" }), is: "known", may: { priv: ["pull"] } },
  "a job in another policy's run": { authorization: ({ home }) => bearer(home, { ...jobs, pod: "others-1" }), is: "known" },
  "a prune job in its run": { authorization: ({ home }) => bearer(home, { ...jobs, pod: "clean-1" }), is: "known" },
  "a job whose run has ended": { authorization: ({ home }) => bearer(home, { ...jobs, pod: "ended-1" }), is: "idle" },
  "a job before its run": { authorization: ({ home }) => bearer(home, { ...jobs, pod: "early-1" }), is: "idle" },
  "an expired token": { authorization: ({ home }) => bearer(home, { ...builder, issued: -1_200, expires: -60 }), is: "wrong" },
  "a token for another audience": { authorization: ({ home }) => bearer(home, { ...builder, audience: "sts.example.com" }), is: "wrong" },
  "a token for a year": { authorization: ({ home }) => bearer(home, { ...builder, expires: 365 * 24 * 3_600 }), is: "wrong" },
  "a forged token": { authorization: ({ home, edge }) => bearer(edge, { ...builder, header: { kid: home.keyId } }), is: "wrong" },
  "a CI job's token for another audience": {
    authorization: ({ github }) => job(github, { ...githubClaims, aud: "sts.example.com" }),
    is: "wrong",
  },
  "a wrong Bearer token": { authorization: () => "Bearer wrong", is: "wrong" },
} as const satisfies Record<string, Caller>;
export type CallerName = keyof typeof callers;
export const everybody = Object.entries<Caller>(callers) as (readonly [CallerName, Caller])[];

export function may({ may: given }: Caller, area: Area, action: Action): boolean {
  return (action === "pull" && (area === "public" || area === "hub")) || given?.[area]?.includes(action) === true;
}
