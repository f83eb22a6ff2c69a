// What an access token says, to and from its claims. `access` is as the distribution spec has it ("Token Authentication Implementation").

import type { JWTPayload } from "jose";

import type { Action } from "../../domain/access.ts";
import { describeIdentity, type Identity } from "../../domain/identity.ts";
import type { Granted } from "../../domain/scope.ts";

export interface TokenContent {
  /** Who has the admin token shows that itself. */
  readonly identity: Exclude<Identity, { kind: "admin" }>;
  readonly granted: Granted;
  /** What the bearer logged in with, as a hash that says nothing of it: it must still be that. */
  readonly credential?: string;
}

interface Entry {
  readonly type: "repository" | "registry";
  readonly name: string;
  readonly actions: readonly string[];
}

const actions: ReadonlySet<string> = new Set<Action>(["pull", "push", "delete"]);

export function claimsOf({ identity, granted, credential }: TokenContent): JWTPayload {
  const access: Entry[] = [...granted.repositories].map(([name, given]) => ({ type: "repository", name, actions: [...given] }));
  if (granted.catalog) access.push({ type: "registry", name: "catalog", actions: ["*"] });
  return { sub: describeIdentity(identity), identity, access, ...(credential === undefined ? {} : { credential }) };
}

/** Undefined: a version that is newer than this one said it. Nobody else signs, so this is about form alone. */
export function contentOf({ identity, access, credential }: JWTPayload): TokenContent | undefined {
  if (!isIdentity(identity) || !Array.isArray(access) || !access.every(isEntry)) return undefined;
  if (credential !== undefined && typeof credential !== "string") return undefined;
  const repositories = access.filter(({ type }) => type === "repository");
  return {
    identity,
    granted: {
      repositories: new Map(repositories.map(({ name, actions: given }) => [name, new Set(given.filter(isAction))])),
      catalog: access.some(({ type, name }) => type === "registry" && name === "catalog"),
    },
    ...(credential === undefined ? {} : { credential }),
  };
}

function isIdentity(value: unknown): value is TokenContent["identity"] {
  if (typeof value !== "object" || value === null || !("kind" in value)) return false;
  const identity = value as Identity;
  switch (identity.kind) {
    case "anonymous":
      return true;
    case "user":
    case "robot":
      return typeof identity.name === "string";
    case "serviceAccount":
      return [identity.issuer, identity.namespace, identity.name, identity.pod ?? ""].every((part) => typeof part === "string");
    case "oidc":
      return (
        typeof identity.issuer === "string" &&
        typeof identity.subject === "string" &&
        Array.isArray(identity.groups) &&
        isTexts(identity.claims)
      );
    case "admin":
    default:
      return false;
  }
}

function isTexts(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.values(value).every((text) => typeof text === "string");
}

function isEntry(value: unknown): value is Entry {
  const { type, name, actions: given } = (value ?? {}) as Partial<Entry>;
  return typeof type === "string" && typeof name === "string" && Array.isArray(given);
}

function isAction(action: string): action is Action {
  return actions.has(action);
}
