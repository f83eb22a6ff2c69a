// Of whom a verified token speaks: a ServiceAccount, by what Kubernetes writes into its tokens, or whoever an OpenID provider says it is.

import type { JWTPayload } from "jose";

import type { Identity } from "../../domain/identity.ts";
import type { Issuer } from "./key-ring.ts";

export type IssuedIdentity = Extract<Identity, { kind: "serviceAccount" | "oidc" }>;

/** Why it speaks of nobody, as the end of a sentence about the token. */
export interface NoBearer {
  readonly problem: string;
}

/** `claims`: of a token whose signature, issuer, audience and times were checked. */
export function bearerOf(issuer: Issuer, claims: JWTPayload): IssuedIdentity | NoBearer {
  return issuer.kind === "Kubernetes" ? accountOf(issuer.name, claims) : providedBearer(issuer, claims);
}

/** Of namespaces, ServiceAccounts and Pods (RFC 1123). */
const names = /^[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?$/;

/** `kubernetes.io` in the claims of bound tokens. */
function accountOf(issuer: string, payload: JWTPayload): IssuedIdentity | NoBearer {
  const claims = payload["kubernetes.io"];
  const namespace = text(claims, "namespace");
  const name = text(member(claims, "serviceaccount"), "name");
  const pod = text(member(claims, "pod"), "name");
  const isName = (text: string | undefined): text is string => text !== undefined && text.length <= 253 && names.test(text);
  // Another cluster's word is not our API server's: what Kubernetes calls nothing would be in logs, histories and sessions.
  const named = isName(namespace) && isName(name) && (pod === undefined || isName(pod));
  if (!named || payload.sub !== `system:serviceaccount:${namespace}:${name}`) {
    return { problem: "it names no ServiceAccount" };
  }
  return { kind: "serviceAccount", issuer, namespace, name, ...(pod === undefined ? {} : { pod }) };
}

/** It names its bearer in logs, in the history and in upload sessions: whole, and on one line. */
const subjects = /^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]{1,512}$/u;
/** About the token, not about who has it. */
const ofTheToken: ReadonlySet<string> = new Set(["iss", "aud", "exp", "nbf", "iat", "jti"]);

function providedBearer({ name: issuer, groupsClaim, requiredClaims = [] }: Issuer, payload: JWTPayload): IssuedIdentity | NoBearer {
  const { sub } = payload;
  if (typeof sub !== "string" || !subjects.test(sub) || !sub.isWellFormed())
    return { problem: "its sub is no name of at most 512 characters" };
  const claims = new Map(
    Object.entries(payload).flatMap(([name, value]) => (ofTheToken.has(name) || !isPlain(value) ? [] : [[name, String(value)] as const])),
  );
  const lacking = requiredClaims.find(({ name, values }) => !values.includes(claims.get(name) ?? "") || !claims.has(name));
  if (lacking !== undefined) return { problem: `its claim ${lacking.name} is none that auth.issuers ${issuer} asks for (requiredClaims)` };
  const groups = groupsClaim !== undefined && Object.hasOwn(payload, groupsClaim) ? [payload[groupsClaim]].flat() : [];
  return {
    kind: "oidc",
    issuer,
    subject: sub,
    claims: Object.fromEntries(claims),
    groups: groups.filter((group) => typeof group === "string"),
  };
}

/** What is written in one way only: `1e400` and numbers that JSON rounds are not. */
function isPlain(value: unknown): value is string | boolean | number {
  return typeof value === "string" || typeof value === "boolean" || Number.isSafeInteger(value);
}

function member(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined;
}

function text(value: unknown, key: string): string | undefined {
  const found = member(value, key);
  return typeof found === "string" && found !== "" ? found : undefined;
}
