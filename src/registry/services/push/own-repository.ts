import { prefixOf } from "../../../domain/reference.ts";
import type { Queryable } from "../../metadata/database.ts";
import { findOrCreateOwnRepository, findRepository, type Prefix, type Repository } from "../../metadata/repositories.ts";
import { ServiceError } from "../errors.ts";

/** The own repository of this name, made when it is the first push. Throws UNSUPPORTED under the prefix of an Upstream. */
export async function ensureOwnRepository(transaction: Queryable, name: string): Promise<Repository> {
  const found = await findOrCreateOwnRepository(transaction, name);
  if ("taken" in found) throw belongsToUpstream(name, found.taken);
  return found.repository;
}

/** The own repository of this name, if somebody pushed to it. Throws UNSUPPORTED for one of an Upstream. */
export async function findOwnRepository(database: Queryable, name: string): Promise<Repository | undefined> {
  const found = await findRepository(database, name);
  if (found !== undefined && found.upstream !== null) throw belongsToUpstream(name, { kind: "proxied", upstream: found.upstream });
  return found;
}

/** The answer to a push or delete under the prefix of an Upstream (registry.md, "Names and routing"). */
export function belongsToUpstream(name: string, { kind, upstream }: Prefix): ServiceError {
  const owner = upstream === null ? "an Upstream" : `the Upstream ${upstream}`;
  const message =
    kind === "retired"
      ? `The prefix ${prefixOf(name)} belonged to ${owner}, which was deleted. Push under another prefix; this one can only go to an Upstream again.`
      : `Everything under ${prefixOf(name)}/ comes from ${owner} and cannot be written here. Push under another prefix.`;
  return new ServiceError("UNSUPPORTED", message, { detail: { prefix: prefixOf(name) } });
}
