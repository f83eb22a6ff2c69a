// AccessPolicy: recorded and published by the skeleton; here whether the users that it names can log in, and whether tokens of the issuers that it
// names count.

import { conditionTypes, reasons } from "../../api/conditions.ts";
import type { AccessPolicySpec } from "../../api/kinds.ts";
import { whyNobody, type KnownIssuer } from "../credentials/known-issuers.ts";
import type { KnownUsers } from "../credentials/known-users.ts";
import type { Reconciler } from "./reconciler.ts";
import type { Finding, OwnReport, Placed } from "./skeleton.ts";

const type = conditionTypes.credentialsLoaded;
/** A policy has up to 64 subjects. */
const mostNamed = 5;

export const accessPolicyReconciler: Reconciler<"AccessPolicy"> = {
  kind: "AccessPolicy",
  report(key, spec, { users, issuers, administrators, wasReady }) {
    const named = usersOf(spec);
    const report = key.namespace === administrators ? reportUsers : reportToTenant;
    const found = users === undefined || named.size === 0 ? { conditions: [] } : report(named, users, wasReady(key));
    const nobody = issuers === undefined ? undefined : nobodyIn(spec, issuers);
    return { ...found, ...(nobody === undefined ? {} : { notReady: nobody }), details: { subjects: describeSubjects(spec) } };
  },
};

/** The first subject that nobody can be, whatever token he shows: it opens nothing, and the others count. */
function nobodyIn({ subjects }: AccessPolicySpec, issuers: readonly KnownIssuer[]): OwnReport["notReady"] {
  for (const [index, subject] of subjects.entries()) {
    const why = whyNobody(subject, issuers);
    if (why === undefined) continue;
    const field = "issuer" in subject && subject.issuer !== undefined ? ".issuer" : "";
    return {
      reason: reasons.issuerNotFound,
      path: `spec.subjects[${index}]${field}`,
      message: `${why}; nobody is this subject, and it opens nothing`,
    };
  }
  return undefined;
}

/** Users that are named, each with the first field that does. */
function usersOf({ subjects }: AccessPolicySpec): ReadonlyMap<string, string> {
  const named = new Map<string, string>();
  for (const [index, subject] of subjects.entries()) {
    if (subject.kind === "User" && !named.has(subject.name)) named.set(subject.name, `spec.subjects[${index}].name`);
  }
  return named;
}

/** As the resource definition has it. */
const longestSubjects = 256;

function describeSubjects({ subjects }: AccessPolicySpec): string {
  const text = subjects.map(describeSubject).join(", ");
  return text.length <= longestSubjects ? text : `${text.slice(0, longestSubjects - 1)}…`;
}

function describeSubject(subject: AccessPolicySpec["subjects"][number]): string {
  if (subject.kind === "Anonymous") return subject.kind;
  if (subject.kind === "ServiceAccount") return `${subject.kind} ${subject.namespace}/${subject.name}`;
  return `${subject.kind} ${subject.kind === "OIDC" ? subject.issuer : subject.name}`;
}

/**
 * `places`: users that are named, and where. A policy that was Ready as it is stays that while the users change: it counts for its other subjects, too.
 */
function reportUsers(places: ReadonlyMap<string, string>, users: KnownUsers, wasReady: boolean): Omit<OwnReport, "details"> {
  const named = [...places.keys()];
  const placeOf = (name: string | undefined) => ({ path: places.get(name ?? "") ?? "spec.subjects" });
  if (users.state === "unseen") {
    const message = `whether anybody can log in as ${list(named, "or")} is not known here: ${users.message}`;
    return { conditions: [{ type, status: "Unknown", reason: reasons.notDelivered, message }] };
  }
  if (users.state === "missing") {
    const message = `${users.message}; until then nobody can log in as ${list(named, "or")}`;
    return notReady({ reason: users.reason, ...placeOf(named[0]), message });
  }
  const lacking = named.filter((name) => users.lackOf(name) !== undefined);
  const missing = named.filter((name) => !users.names.has(name) && !lacking.includes(name));
  const lack = users.lackOf(lacking[0] ?? "");
  if (lacking.length > 0 && lack !== undefined && (missing.length === 0 || !wasReady)) {
    const message = `${lack.message}; until then the registry may refuse whoever logs in as ${list(lacking, "or")}`;
    const finding = { reason: lack.reason, ...placeOf(lacking[0]), message };
    return wasReady ? { conditions: [{ type, status: "False", ...finding }] } : notReady(finding);
  }
  if (missing.length === 0) {
    const knows = users.delivered ? ", and every process of the registry knows them" : "";
    const message = `${users.holders} every user that is named${knows}`;
    return { conditions: [{ type, status: "True", reason: reasons.succeeded, message }] };
  }
  // Taking a user out of the Secret is how access is revoked at once: it must not make the policy fail, only say so.
  const message = [`${users.holders} no user ${list(missing, "and no user")}`, ...users.problems].join("; ");
  const note = { ...placeOf(missing[0]), message };
  return { notes: [note], conditions: [{ type, status: "False", reason: reasons.userNotFound, ...note }] };
}

/**
 * Who writes policies in a namespace of his own names whom he likes: what is said of names would tell him which of them are users. So his policy waits for
 * all of them, whomever it names.
 */
function reportToTenant(places: ReadonlyMap<string, string>, users: KnownUsers, wasReady: boolean): Omit<OwnReport, "details"> {
  const named = [...places.keys()];
  const path = places.get(named[0] ?? "") ?? "spec.subjects";
  if (users.state === "missing") {
    const message = `this installation has no users that could log in: until its administrators have mended that nobody can as ${list(named, "or")}`;
    return notReady({ reason: users.reason, path, message });
  }
  if (users.state === "unseen" || users.lack === undefined || wasReady) return { conditions: [] };
  const message = `not every process of the registry is known to have this installation's users as they are now: that takes about a minute, and what takes longer its administrators have to mend; until then the registry may refuse whoever logs in as ${list(named, "or")}`;
  return notReady({ reason: users.lack.reason, path, message });
}

function notReady(finding: Finding & Placed): Omit<OwnReport, "details"> {
  return { notReady: finding, conditions: [{ type, status: "False", ...finding }] };
}

function list(names: readonly string[], conjunction: string): string {
  if (names.length > mostNamed) return `${names.slice(0, mostNamed).join(", ")} … (${names.length} names)`;
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} ${conjunction} ${names.at(-1) ?? ""}`;
}
