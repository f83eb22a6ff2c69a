// GET versions/<repository>: why a version tag points where it points (design: tag-sync, "Why does this tag point there?").

import type { LedgerDocument } from "../../../api/control/record.ts";
import type { SyncOutcome } from "../../../api/control/runs.ts";
import type { VersionsView } from "../../../api/control/versions.ts";
import { prefixOf } from "../../../domain/reference.ts";
import { findByName } from "../../../domain/upstream-names.ts";
import type { Database } from "../../metadata/database.ts";
import { refusedOutcomes } from "../../metadata/sync-outcomes.ts";
import { findLedger } from "../../metadata/versions.ts";
import type { ConfigurationSource } from "../configuration/configuration.ts";
import { ServiceError } from "../errors.ts";
import { keyOf, policiesOf } from "../runs/policy-scope.ts";
import type { FailedCopy, VersionCopies } from "./version-copies.ts";

export interface VersionsOptions {
  readonly database: Database;
  readonly configuration: ConfigurationSource;
  readonly copies: Pick<VersionCopies, "failed">;
}

/** Refused digests that are shown. */
const shown = 20;

/** `repository` with its prefix. Rejects with ServiceError NOT_FOUND when it has no ledger and no TagPolicy names it. */
export async function versionsOf(options: VersionsOptions, repository: string): Promise<VersionsView> {
  const published = await findLedger(options.database, repository);
  const configuration = options.configuration.current();
  const [policy] = policiesOf(configuration, repository);
  if (published === undefined && policy === undefined) {
    throw new ServiceError("NOT_FOUND", `${repository} has no versions, and no TagPolicy names it`);
  }
  const failed = options.copies.failed(repository);
  return {
    repository,
    policy: policy === undefined ? null : keyOf(policy),
    revision: published?.revision ?? configuration.revision ?? "",
    commits: published?.commits ?? {},
    ledger: (published?.ledger as LedgerDocument | undefined) ?? { image: repository, builds: [], tags: {}, pinned: {}, retired: {} },
    refused: policy === undefined ? [] : await refused(options, keyOf(policy), repository),
    ...(failed.length === 0 ? {} : { notCopied: failed.map(described) }),
  };
}

function described({ digest, tags, message, retryAt }: FailedCopy): NonNullable<VersionsView["notCopied"]>[number] {
  return { digest, tags: [...tags], message, retryAt: retryAt.toISOString() };
}

async function refused({ database, configuration }: VersionsOptions, policy: string, name: string): Promise<SyncOutcome[]> {
  const upstream = configuration.current().upstreamByPrefix(prefixOf(name));
  const repository = upstream === undefined ? undefined : findByName(upstream.spec, name)?.repository;
  return repository === undefined ? [] : refusedOutcomes(database, { policy, repository, limit: shown });
}
