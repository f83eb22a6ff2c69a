// What is right in the matrix of access, by the few rules of docs/design/access.md.

import { may, type Caller } from "./callers.ts";
import { unknown, type Target, type Verb } from "./verbs.ts";

/** With which a request comes: credentials themselves, or an access token that was asked for with them. */
export type Scope = "credentials" | "exactly this" | "another repository" | "the other actions";

/** The rules of access.md, in the order in which they count. */
export function expected(verb: Verb, target: Target, caller: Caller, scope: Scope = "credentials"): string {
  const shown = (answer: string) => (verb.bare === true ? answer.slice(0, 3) : answer);
  const lacking = shown(scope === "credentials" ? "401 UNAUTHORIZED" : "401 UNAUTHORIZED insufficient_scope");
  // Credentials that do not count are refused even where none are needed.
  if (caller.is === "wrong") return shown("401 UNAUTHORIZED");
  // The token of a job's Pod is refused everywhere but in its run.
  if (caller.is === "idle") return shown("403 DENIED");
  const pulls = may(caller, target.area, "pull");
  if (target.kind === "left out" && pulls) return shown(unknown);
  // Upstreams' repositories are read from here; who sees them is told so.
  if (target.kind === "proxied" && verb.action !== "pull" && pulls) return "405 UNSUPPORTED";
  const opened = scope === "credentials" || scope === "exactly this";
  if (target.kind === "proxied" && verb.action === "pull" && pulls) return opened ? shown(doneAs(verb, target, caller)) : lacking;
  const allowed = may(caller, target.area, verb.action) && target.kind !== "left out" && target.kind !== "proxied";
  if (!allowed) {
    if (caller.is === "nobody") return lacking;
    // Who may only what everybody may is told so, whatever there is.
    if (caller.is === "stranger") return shown("403 DENIED");
    if (verb.action !== "pull") return "403 DENIED";
    // As if it were not there.
    return verb.missing ?? unknown;
  }
  // A right is there, and the token was not asked for it.
  if (!opened) return lacking;
  return target.kind === "none" ? (verb.missing ?? "") : doneAs(verb, target, caller);
}

export function doneAs({ done }: Verb, target: Target, caller: Caller): string {
  return typeof done === "string" ? done : done(caller, target);
}
