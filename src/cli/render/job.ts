// What a run of a job did.

import type { PruneResult } from "../../jobs/prune.ts";
import type { TagSyncResult } from "../../jobs/tag-sync.ts";
import { table } from "../output.ts";
import { renderApplied } from "./plan.ts";

export function renderSynced({ minted, failures, outOfService = [] }: TagSyncResult): string {
  const wrong = [
    ...failures.map(({ repository, sourceTag, reason, message }) => [repository, sourceTag, reason, message]),
    ...outOfService.map(({ repository, sourceTag, message }) => [repository, sourceTag, "OutOfService", message]),
  ];
  const parts = [
    ...(minted.length === 0
      ? []
      : [
          table(
            ["IMAGE", "VERSION", "TAGS", "DIGEST"],
            minted.map(({ repository, version, tags, digest }) => [repository, version, tags.join(", "), digest]),
          ),
        ]),
    ...(wrong.length === 0 ? [] : [table(["IMAGE", "TAG", "REASON", "MESSAGE"], wrong)]),
  ];
  return parts.join("\n\n");
}

/** Without an apply there is nothing to list: `npx wharfinger plan` explains what would go. */
export function renderPruned({ applied }: PruneResult): string {
  return applied === undefined ? "" : renderApplied(applied);
}
