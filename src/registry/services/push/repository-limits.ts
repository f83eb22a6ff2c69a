// How many bytes a repository may hold (setting `limits`): its blobs, each once, and its manifests, deleted ones too while they can be restored.

import { formatBytes } from "../../../domain/bytes.ts";
import type { Queryable } from "../../metadata/database.ts";
import { readUsage, takeTurnOnUsage } from "../../metadata/usage.ts";
import { ServiceError } from "../errors.ts";

/** Bytes; undefined: as many as there is space for. */
export type BytesAllowed = (repository: string) => number | undefined;

export const unlimited: BytesAllowed = () => undefined;

/**
 * The last step of a transaction that pushes: throws DENIED when it made the repository larger than it may be. Who pushes to a limited
 * repository at the same time waits here for the other's commit; what is there already can be pushed again.
 */
export async function refuseGrowth(
  transaction: Queryable,
  allowed: BytesAllowed,
  repository: { readonly id: number; readonly name: string },
): Promise<void> {
  const limit = allowed(repository.name);
  if (limit === undefined) return;
  await takeTurnOnUsage(transaction, repository.id);
  const { used, grown } = await readUsage(transaction, repository.id);
  if (grown > 0 && used > limit) throw full(repository.name, { used: used - grown, limit, more: grown });
}

export function full(
  repository: string,
  { used, limit, more }: { readonly used: number; readonly limit: number; readonly more: number },
): ServiceError {
  return new ServiceError(
    "DENIED",
    `${repository} has ${formatBytes(used)} of the ${formatBytes(limit)} that it may have, and this needs ${formatBytes(more)} more. ` +
      "Delete images that nobody needs (their bytes count until they are collected) or ask an administrator to raise the limit.",
    { detail: { used, limit, needed: more } },
  );
}

export function tooMuchUnfinished(
  repository: string,
  { limit, unfinished }: { readonly limit: number; readonly unfinished: number },
): ServiceError {
  return new ServiceError(
    "DENIED",
    `${repository} has ${formatBytes(unfinished)} of uploads that are not finished, beside what it stores, and both may have twice its limit of ` +
      `${formatBytes(limit)} together. Complete or cancel some, or wait until they expire.`,
    { detail: { limit, unfinished } },
  );
}
