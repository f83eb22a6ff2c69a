// Scopes of access tokens (distribution spec, "Token Scope Documentation"): `repository:team-a/app:pull,push`. What a token carries is what its
// bearer asked for, less what he had no right to when it was made; at use it opens that, less what he has no right to any more.

import type { Access, Action } from "./access.ts";
import type { Identity } from "./identity.ts";
import { isRepositoryName } from "./reference.ts";
import { turns } from "./turns.ts";

/** One thing that was asked for. */
export interface AskedScope {
  readonly type: string;
  readonly name: string;
  readonly actions: readonly string[];
}

/** What a token opens. Names are the full ones of this registry. */
export interface Granted {
  readonly repositories: ReadonlyMap<string, ReadonlySet<Action>>;
  /** The list of repositories, which shows what its caller may pull. */
  readonly catalog: boolean;
}

/** Lists of mounts are short; each scope costs a decision. */
export const mostScopes = 100;
/** Of who shows no credentials: nobody mounts without, and a pull needs one. */
export const mostAnonymousScopes = 16;

const pattern = /^([a-z0-9]+)(?:\([a-z0-9]+\))?:([^\s:]+(?::\d+\/[^\s:]+)?):([a-z*]+(?:,[a-z*]+)*)$/;
const everyAction: readonly Action[] = ["pull", "push", "delete"];
const catalogScope = "registry:catalog:*";

/** `texts`: values of `scope`, each of which may have several, apart by spaces. What is no scope asks for nothing. Undefined: there are more than `most`. */
export function parseScopes(texts: readonly string[], most = mostScopes): readonly AskedScope[] | undefined {
  const words = texts.flatMap((text) => text.split(" ").filter((word) => word !== ""));
  if (words.length > most) return undefined;
  return words.flatMap((word) => {
    const [, type, name, actions] = pattern.exec(word) ?? [];
    return type === undefined || name === undefined || actions === undefined ? [] : [{ type, name, actions: actions.split(",") }];
  });
}

/**
 * `nameOf`: the full name of what a path names, undefined where nobody serves it. `scope`: what was granted, in the words of who asked. Others have their
 * turn between two scopes.
 */
export async function grant(
  asked: readonly AskedScope[],
  {
    identity,
    access,
    nameOf,
  }: { readonly identity: Identity; readonly access: Access; readonly nameOf: (name: string) => string | undefined },
): Promise<{ readonly granted: Granted; readonly scope: string }> {
  const turn = turns();
  const repositories = new Map<string, Set<Action>>();
  const said: string[] = [];
  let catalog = false;
  for (const { type, name, actions } of asked) {
    await turn();
    if (type === "registry" && name === "catalog" && actions.includes("*")) {
      catalog = true;
      said.push(catalogScope);
    }
    const repository = type === "repository" && isRepositoryName(name) ? nameOf(name) : undefined;
    if (repository === undefined) continue;
    const wanted = everyAction.filter((action) => actions.includes(action) || actions.includes("*"));
    const given = wanted.filter((action) => access.may(identity, action, repository));
    if (given.length === 0) continue;
    repositories.set(repository, new Set([...(repositories.get(repository) ?? []), ...given]));
    said.push(`repository:${name}:${given.join(",")}`);
  }
  return { granted: { repositories, catalog }, scope: said.join(" ") };
}

/** What both allow. An installation that is open to everybody is so to who shows a token, too. */
export function limitedTo(access: Access, granted: Granted | undefined): Access {
  if (granted === undefined || access.open) return access;
  return {
    ...access,
    may: (identity, action, repository) =>
      granted.repositories.get(repository)?.has(action) === true && access.may(identity, action, repository),
  };
}

/** What a request needs, for the challenge. `from`: a repository that a blob is mounted from. */
export function neededScope(action: Action | "catalog", repository = "", from?: string): string {
  if (action === "catalog") return catalogScope;
  const own = `repository:${repository}:${action === "push" ? "pull,push" : action}`;
  return from !== undefined && isRepositoryName(from) ? `${own} repository:${from}:pull` : own;
}
