// Who may call what of the control API (design: access.md, "Control API"). A pure decision: the rows of controlRoutes name a right, the
// settings say who is what, and a run reaches no further than its policy.

import type { Access } from "./access.ts";
import { anonymous, type Identity, type ServiceAccount } from "./identity.ts";
import { isPerson, ownCluster, type SomebodySubject } from "./subjects.ts";

/** Whom the settings name. */
export interface Principals {
  /** Who has the rights of an administrator: users of htpasswd, accounts, and whom an OpenID provider knows. Never a robot. */
  readonly admins: readonly SomebodySubject[];
  /** The one writer of the registry beside administrators. */
  readonly operator?: ServiceAccount;
  /** As whom the Pods of jobs run. It may do nothing by itself: each Pod acts for the run that it is bound to. */
  readonly jobs?: ServiceAccount;
  readonly reporters: readonly { readonly cluster: string; readonly account: ServiceAccount }[];
}

/** A run that is under way, as the token of its Pod may act for it. */
export interface BoundRun {
  readonly id: string;
  readonly kind: "tag-sync" | "prune";
  /** namespace/name */
  readonly policy: string;
  /** prune: the stopped plan that a person approved for this run. */
  readonly approved?: string;
  /** Repositories, by their full names, that its policy is about. */
  readonly covers: (repository: string) => boolean;
}

/** As what a caller comes. */
export type Role =
  | { readonly kind: "anonymous" | "user" | "operator" | "admin" }
  /** An OpenID provider knows it, and nothing here names it: it may what everybody may. */
  | { readonly kind: "stranger" }
  | { readonly kind: "reporter"; readonly cluster: string }
  | { readonly kind: "run"; readonly run: BoundRun };

/** A Pod of jobs, whose run is still to be found. */
export interface JobPod {
  readonly kind: "job";
  /** undefined: the token is bound to no Pod. */
  readonly pod: string | undefined;
}

/**
 * What a route of the control API asks of its caller; administrators may call all of them. `reader`: anybody who showed who he is, for what he may
 * pull. `run`: the run that the route is about, and the operator. `proposal`: the operator, and runs, for proposals about their repositories.
 * `reporter`: who reports for the cluster that the route is about. `tag-sync` and `prune`: a run of that job, for its own policy.
 */
export type Right = "admin" | "operator" | "reader" | "run" | "proposal" | "tag-sync" | "prune" | "reporter";

/** What a request is about, as far as its route knows. */
export interface Subject {
  readonly run?: string;
  /** namespace/name */
  readonly policy?: string;
  /** With its prefix. */
  readonly repository?: string;
  readonly cluster?: string;
  /** Plan that the caller calls approved. */
  readonly approves?: string;
}

export function roleOf(identity: Identity, { admins, operator, jobs, reporters }: Principals): Role | JobPod {
  if (admins.some((admin) => isPerson(admin, identity))) return { kind: "admin" };
  switch (identity.kind) {
    case "serviceAccount": {
      if (isSame(identity, operator)) return { kind: "operator" };
      if (isSame(identity, jobs)) return { kind: "job", pod: identity.pod };
      const reporter = reporters.find(({ account }) => isSame(identity, account));
      return reporter === undefined ? { kind: "user" } : { kind: "reporter", cluster: reporter.cluster };
    }
    case "user":
    case "robot":
    case "oidc":
      return { kind: "user" };
    case "anonymous":
    case "admin":
      return { kind: identity.kind };
  }
}

/** Accounts that the settings give more than one part to: a token must say one thing. */
export function sharedAccounts({ admins, operator, jobs, reporters }: Principals): ServiceAccount[] {
  const all = [
    ...admins.flatMap((admin) => (admin.kind === "ServiceAccount" ? [accountOf(admin)] : [])),
    ...(operator === undefined ? [] : [operator]),
    ...(jobs === undefined ? [] : [jobs]),
    ...reporters.map(({ account }) => account),
  ];
  return all.filter((account, index) => all.findIndex((other) => isSame(account, other)) < index);
}

/** Shares and limits are those of the address that it comes from. */
export function isNobody({ kind }: Role): boolean {
  return kind === "anonymous" || kind === "stranger";
}

/** Whether the caller may ever do what the route is for; what the request is about is judged by `mayCall`. */
export function mayTry(role: Role, right: Right): boolean {
  if (isNobody(role)) return false;
  if (role.kind === "admin") return true;
  switch (right) {
    case "admin":
      return false;
    case "reader":
      return true;
    case "operator":
    case "reporter":
      return role.kind === right;
    case "run":
    case "proposal":
      return role.kind === "operator" || role.kind === "run";
    case "tag-sync":
    case "prune":
      return role.kind === "run" && role.run.kind === right;
  }
}

/** Whether the caller may do this: what a run or reporter is not told to be about its own is not. */
export function mayCall(role: Role, right: Right, subject: Subject): boolean {
  if (!mayTry(role, right)) return false;
  // A proposal is judged once it was read.
  if (right === "reader" || right === "proposal") return true;
  if (role.kind === "reporter") return subject.cluster === role.cluster;
  if (role.kind !== "run") return true;
  const { id, policy, covers, approved } = role.run;
  const own = [
    ...(subject.run === undefined ? [] : [subject.run === id]),
    ...(subject.policy === undefined ? [] : [subject.policy === policy]),
    ...(subject.repository === undefined ? [] : [covers(subject.repository)]),
  ];
  return own.length > 0 && own.every(Boolean) && (subject.approves === undefined || subject.approves === approved);
}

/**
 * What the caller may do in repositories: a tag-sync run pulls the images of its policy, whoever else may. What policies give to the account
 * of jobs, as to every account of its namespace or cluster, no run has: it reads what strangers wrote.
 */
export function accessOf(role: Role, access: Access): Access {
  if (role.kind !== "run") return access;
  const { kind, covers } = role.run;
  return {
    ...access,
    may: (_, action, repository) =>
      (kind === "tag-sync" && action === "pull" && covers(repository)) || access.may(anonymous, action, repository),
  };
}

/** Whether the caller is shown versions and repositories of everybody. The operator writes them back where the record's repository was lost. */
export function readsAll({ kind }: Role): boolean {
  return kind === "admin" || kind === "operator";
}

/** Whether upstream is asked anew because the caller wants so: that costs of its rate limit. */
export function mayRevalidate(role: Role, repository: string): boolean {
  return role.kind === "admin" || (role.kind === "run" && role.run.kind === "tag-sync" && role.run.covers(repository));
}

/** Whom a subject of an account names. */
export function accountOf({ issuer = ownCluster, namespace, name }: Extract<SomebodySubject, { kind: "ServiceAccount" }>): ServiceAccount {
  return { issuer, namespace, name };
}

function isSame(left: ServiceAccount, right: ServiceAccount | undefined): boolean {
  return right !== undefined && left.issuer === right.issuer && left.namespace === right.namespace && left.name === right.name;
}
