// The version tags of a publish: bindings that came, moved and went, in the rows that pulls read.

import { failpoint } from "#failpoints";

import type { PublishRequest, RecordedResource } from "../../../api/control/record.ts";
import type { UpstreamSpec } from "../../../api/kinds.ts";
import type { Digest } from "../../../domain/digest.ts";
import type { Ledger } from "../../../domain/ledger.ts";
import { isRepositoryName, isTag, prefixOf } from "../../../domain/reference.ts";
import type { Queryable } from "../../metadata/database.ts";
import { proposalById } from "../../metadata/proposals.ts";
import { ensureProxiedRepository } from "../../metadata/proxy-repositories.ts";
import { findRepository } from "../../metadata/repositories.ts";
import { noteTagEvents } from "../../metadata/tags.ts";
import {
  dropVersions,
  holdEvidence,
  listLedgers,
  lockVersions,
  releaseEvidence,
  releaseManifests,
  storeLedger,
  storeVersions,
} from "../../metadata/versions.ts";
import { ServiceError } from "../errors.ts";

/** Throws ServiceError INVALID for names that are none: the schema of the request has checked the rest. */
export function checkLedgers(ledgers: PublishRequest["ledgers"]): void {
  for (const [repository, ledger] of Object.entries(ledgers)) {
    if (!isRepositoryName(repository)) throw new ServiceError("INVALID", `ledgers: "${repository}" is not a repository name`);
    const bad = Object.keys(ledger?.tags ?? {}).find((tag) => !isTag(tag));
    if (bad !== undefined) throw new ServiceError("INVALID", `ledgers: ${repository}: "${bad}" is not a tag`);
  }
}

/** Rows for every ledger of the request. With no base the request is whole: what it does not name is gone. */
export async function publishLedgers(
  transaction: Queryable,
  request: PublishRequest,
  resources: readonly RecordedResource[],
): Promise<void> {
  const absent = request.base === null ? (await listLedgers(transaction)).filter((name) => !Object.hasOwn(request.ledgers, name)) : [];
  const changes = [...Object.entries(request.ledgers), ...absent.map((name) => [name, null] as const)];
  const evidence = await evidenceOf(transaction, request);
  for (const [name, document] of changes.sort(([a], [b]) => (a < b ? -1 : 1))) {
    const repository = await repositoryOf(transaction, name, resources, document !== null);
    if (repository === undefined) continue;
    const { changed = request.revision, builds = {} } = request.ledgerCommits?.[name] ?? {};
    await publishLedger(transaction, { repository, name, ledger: document as Ledger | null, revision: request.revision, evidence });
    await storeLedger(
      transaction,
      repository,
      document === null ? null : { ledger: document as Ledger, revision: changed, commits: builds },
    );
  }
}

interface ProposedEvidence {
  readonly repository: string;
  readonly digest: Digest;
  readonly tags: readonly string[];
  readonly manifests: readonly Digest[];
}

interface LedgerToPublish {
  readonly repository: number;
  readonly name: string;
  readonly ledger: Ledger | null;
  readonly revision: string;
  readonly evidence: readonly ProposedEvidence[];
}

async function publishLedger(transaction: Queryable, { repository, name, ledger, revision, evidence }: LedgerToPublish): Promise<void> {
  const wanted = new Map(Object.entries(ledger?.tags ?? {}));
  const before = await lockVersions(transaction, repository, [...new Set(wanted.values())].sort());
  await failpoint("publish.locked");
  const known = new Map(before.map(({ tag, digest }) => [tag, digest]));
  const gone = before.filter(({ tag }) => !wanted.has(tag));
  const moved = before.filter(({ tag, digest }) => wanted.has(tag) && wanted.get(tag) !== digest);

  const cached = await dropVersions(
    transaction,
    repository,
    gone.map(({ tag }) => tag),
  );
  await releaseEvidence(
    transaction,
    repository,
    moved.map(({ tag }) => tag),
  );
  await failpoint("publish.dropped");
  const bound = [...wanted].map(([tag, digest]) => ({ tag, digest, version: versionOf(ledger, tag, digest) }));
  await storeVersions(transaction, repository, bound);
  for (const { tags, digest, manifests } of evidence.filter((found) => found.repository === name)) {
    await holdEvidence(transaction, repository, { tags, digest, manifests });
  }
  await failpoint("publish.stored");
  await releaseManifests(transaction, repository, [...new Set([...gone, ...moved].map(({ digest }) => digest).concat(cached))].sort());
  await failpoint("publish.released");
  await noteTagEvents(
    transaction,
    repository,
    [
      ...bound
        .filter(({ tag, digest }) => known.get(tag) !== digest)
        .map(({ tag, digest }) => ({ name: tag, digest, previous: known.get(tag) ?? null })),
      ...gone.map(({ tag, digest }) => ({ name: tag, digest: null, previous: digest })),
    ],
    `record:${revision}`,
  );
}

/** The newest build of the digest says which version it is; a person's binding has none and is called by its tag. */
function versionOf(ledger: Ledger | null, tag: string, digest: Digest): string {
  return ledger?.builds.findLast((build) => build.digest === digest)?.version ?? tag;
}

/** Evidence that the settled proposals copied, still pinned by them. */
async function evidenceOf(transaction: Queryable, request: PublishRequest): Promise<ProposedEvidence[]> {
  const found: ProposedEvidence[] = [];
  for (const { id, refused } of request.settled) {
    const proposal = refused === undefined ? await proposalById(transaction, id) : undefined;
    if (proposal?.body.kind !== "mint") continue;
    const { build, tags, evidenceManifests } = proposal.body;
    found.push({ repository: proposal.repository, digest: build.digest as Digest, tags, manifests: evidenceManifests as Digest[] });
  }
  return found;
}

/** Made when it is new: a lost database is filled from Git before anything was pulled. Undefined when there is nothing to make or remove. */
async function repositoryOf(
  transaction: Queryable,
  name: string,
  resources: readonly RecordedResource[],
  wanted: boolean,
): Promise<number | undefined> {
  const known = await findRepository(transaction, name);
  if (known !== undefined) return known.id;
  const upstream = resources.find(({ kind, spec }) => kind === "Upstream" && (spec as UpstreamSpec).prefix === prefixOf(name));
  // Versions of an Upstream that is not served wait in Git until it is.
  if (!wanted || upstream === undefined) return undefined;
  return ensureProxiedRepository(transaction, name, `${upstream.namespace}/${upstream.name}`);
}
