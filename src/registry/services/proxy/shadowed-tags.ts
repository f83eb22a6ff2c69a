// GET shadowed/<repository>: tags of upstream that nobody gets here, because a minted tag of the same name wins (design: tag-sync.md, "The ledger").

import type { ShadowedTags } from "../../../api/control/versions.ts";
import { printable } from "../../../domain/printable.ts";
import type { Database } from "../../metadata/database.ts";
import { listVersionTags } from "../../metadata/proxy-tags.ts";
import type { Priority } from "../../upstream/budget.ts";
import { ServiceError } from "../errors.ts";

/** ProxyPull has it. */
export interface UpstreamTagSource {
  upstreamTags(repository: string, priority: Priority): Promise<readonly string[] | undefined>;
}

/** Tags that are named; `total` counts all. */
const shown = 20;
const longestReason = 500;

/**
 * By name alone: where both point is not compared, which would cost a request for every name. What upstream does not say is `unknown`, never none.
 * Without a version nothing is asked. `repository` with its prefix. Rejects with ServiceError NAME_UNKNOWN when no Upstream has it.
 */
export async function shadowedTags(
  { database, source }: { readonly database: Database; readonly source: UpstreamTagSource },
  repository: string,
): Promise<ShadowedTags> {
  const minted = await listVersionTags(database, repository);
  if (minted.length === 0) return { total: 0, tags: [] };
  const upstream = await upstreamsOwn(source, repository);
  if ("unknown" in upstream) return { total: 0, tags: [], unknown: upstream.unknown };
  const shadowed = minted.filter((tag) => upstream.tags.has(tag)).toSorted();
  return { total: shadowed.length, tags: shadowed.slice(0, shown) };
}

async function upstreamsOwn(
  source: UpstreamTagSource,
  repository: string,
): Promise<{ readonly tags: ReadonlySet<string> } | { readonly unknown: string }> {
  try {
    const tags = await source.upstreamTags(repository, "tag-sync");
    return tags === undefined ? { unknown: `upstream has no list of the tags of ${repository}` } : { tags: new Set(tags) };
  } catch (error) {
    if (!(error instanceof ServiceError) || error.code === "NAME_UNKNOWN") throw error;
    return { unknown: printable(error.message, longestReason) };
  }
}
