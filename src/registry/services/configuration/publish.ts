// PUT record: a revision of the record becomes what the registry serves, in one transaction (design: record, "Publishing").

import { failpoint } from "#failpoints";

import type { PublishRequest, RecordedResource, RecordState, RefusedResource } from "../../../api/control/record.ts";
import { reasons, recordApiVersion } from "../../../api/conditions.ts";
import type { UpstreamSpec } from "../../../api/kinds.ts";
import { targetUrl } from "../../../domain/registry-address.ts";
import { describeKey, keyString } from "../../../domain/resource.ts";
import { findConflicts, type JudgedResource } from "../../../validation/conflicts.ts";
import { Verdicts } from "../../../validation/verdicts.ts";
import type { Database, Queryable } from "../../metadata/database.ts";
import { settleProposals } from "../../metadata/proposals.ts";
import { makeConfirmationsStale } from "../../metadata/proxy-repositories.ts";
import { livePods, publishedRecord, publishedSummary, takeTurnToPublish, writeRecord } from "../../metadata/record.ts";
import { claimPrefix, heldPrefixes, retirePrefixes } from "../../metadata/upstream-prefixes.ts";
import type { ConfigurationStore } from "./configuration-store.ts";
import { ServiceError } from "../errors.ts";
import { checkLedgers, publishLedgers } from "./publish-ledgers.ts";

/** Versions of the document that this release reads and writes. */
const documentVersions = [1];

export class PublishService {
  readonly #database: Database;
  readonly #configuration: ConfigurationStore;
  /** Of the publish before: a pod that serves pulls must not stand still for a thousand resources because one version came. */
  readonly #verdicts: Verdicts;

  constructor(options: { database: Database; configuration: ConfigurationStore; verdicts?: Verdicts }) {
    this.#database = options.database;
    this.#configuration = options.configuration;
    this.#verdicts = options.verdicts ?? new Verdicts();
  }

  /** GET record. */
  async state(): Promise<RecordState> {
    const [published, pods] = await Promise.all([publishedSummary(this.#database), livePods(this.#database)]);
    return {
      apiVersion: recordApiVersion,
      revision: published?.revision ?? null,
      publishedAt: published?.publishedAt.toISOString() ?? null,
      documentVersions,
      pods: pods.map(({ id, revision, credentials, seenAt }) => ({
        id,
        revision,
        seenAt: seenAt.toISOString(),
        ...(credentials === null ? {} : { credentials }),
      })),
      refused: [...(published?.refused ?? [])],
    };
  }

  /**
   * Rejects with ServiceError CONFLICT unless `base` is the published revision, INVALID for a malformed ledger. A resource that is not valid, or whose prefix
   * holds pushed images, is left out and named in the answer: one of them never stops the others.
   */
  async publish(request: PublishRequest): Promise<RecordState> {
    checkLedgers(request.ledgers);
    await this.#verdicts.ahead(request.resources, () => options);
    const judged = judge(request.resources, this.#verdicts);
    try {
      await this.#database.transaction((transaction) => store(transaction, request, judged), { takesAway: true });
      await failpoint("publish.committed");
      await this.#configuration.reload();
    } catch (error) {
      // The answer to a COMMIT may be what got lost.
      this.#configuration.doubt();
      throw error;
    }
    return this.state();
  }
}

async function store(transaction: Queryable, request: PublishRequest, judged: ReturnType<typeof judge>): Promise<void> {
  await takeTurnToPublish(transaction);
  await failpoint("publish.turn");
  const published = await publishedRecord(transaction);
  refuseOtherBase(request, published?.revision ?? null);
  const claimed = await claimPrefixes(transaction, judged.accepted);
  await failpoint("publish.prefixes");
  await publishLedgers(transaction, request, claimed.accepted);
  for (const key of movedUpstreams(published?.document.resources ?? [], claimed.accepted)) await makeConfirmationsStale(transaction, key);
  await settleProposals(transaction, { settled: request.settled, revision: request.revision });
  await failpoint("publish.settled");
  await writeRecord(transaction, request.revision, {
    resources: claimed.accepted,
    refused: [...judged.refused, ...claimed.refused],
    everHadAccessPolicy:
      request.everHadAccessPolicy === true ||
      published?.document.everHadAccessPolicy === true ||
      claimed.accepted.some(({ kind }) => kind === "AccessPolicy"),
  });
  await failpoint("publish.written");
}

function refuseOtherBase(request: PublishRequest, published: string | null): void {
  if (request.base === published) return;
  throw new ServiceError(
    "CONFLICT",
    `The published revision is ${published ?? "none"}, not ${request.base ?? "none"}: read GET /api/v1/record and publish on top of that`,
    { detail: { published } },
  );
}

/** Files of the record may be newer than we are. */
const options = { unknownFields: "warn" } as const;

/** Content from Git passes the same rules here as at the operator, which may be older or newer. */
function judge(
  resources: readonly RecordedResource[],
  verdicts: Verdicts,
): { accepted: readonly RecordedResource[]; refused: readonly RefusedResource[] } {
  const refused: RefusedResource[] = [];
  const seen = new Set<string>();
  const valid: RecordedResource[] = [];
  for (const resource of resources) {
    if (seen.has(keyString(resource))) throw new ServiceError("INVALID", `${describeKey(resource)} is there twice`);
    seen.add(keyString(resource));
    const verdict = verdicts.of(resource, options);
    if (verdict.problems === undefined) valid.push({ ...resource, spec: verdict.spec });
    else refused.push(refuse(resource, reasons.invalid, verdict.problems.map(({ path, message }) => `${path} ${message}`).join("; ")));
  }
  verdicts.keep(resources);
  const conflicts = findConflicts(valid as unknown as readonly JudgedResource[]).filter(({ resource }) => resource.kind === "Upstream");
  const losers = new Set(conflicts.map(({ resource }) => keyString(resource)));
  for (const loser of valid.filter((resource) => losers.has(keyString(resource)))) {
    const found = conflicts.find(({ resource }) => keyString(resource) === keyString(loser));
    refused.push(refuse(loser, found?.reason ?? reasons.invalid, found?.message ?? ""));
  }
  return { accepted: valid.filter((resource) => !losers.has(keyString(resource))), refused };
}

async function claimPrefixes(
  transaction: Queryable,
  resources: readonly RecordedResource[],
): Promise<{ accepted: readonly RecordedResource[]; refused: readonly RefusedResource[] }> {
  const refused: RefusedResource[] = [];
  const kept: string[] = [];
  // In one order everywhere, so that two publishes and a first push never wait for each other in a circle.
  const upstreams = resources.filter(({ kind }) => kind === "Upstream").sort((a, b) => (prefixOfSpec(a) < prefixOfSpec(b) ? -1 : 1));
  const held = await heldPrefixes(transaction, new Map(upstreams.map((upstream) => [prefixOfSpec(upstream), nameOf(upstream)])));
  for (const upstream of upstreams) {
    const prefix = prefixOfSpec(upstream);
    const holders = held.has(prefix) ? [] : await claimPrefix(transaction, prefix, nameOf(upstream));
    if (holders.length === 0) kept.push(prefix);
    else refused.push(refuse(upstream, reasons.prefixInUse, prefixInUse(prefix, holders)));
  }
  await retirePrefixes(transaction, kept);
  const losers = new Set(refused.map(nameOf));
  const accepted = resources.filter((resource) => resource.kind !== "Upstream" || !losers.has(nameOf(resource)));
  return { accepted, refused };
}

/** `namespace/name` of Upstreams that lead elsewhere than before: nothing that was confirmed at the old address counts any longer. */
function movedUpstreams(before: readonly RecordedResource[], after: readonly RecordedResource[]): string[] {
  const addresses = (resources: readonly RecordedResource[]) =>
    new Map(
      resources
        .filter(({ kind }) => kind === "Upstream")
        .map((resource) => [nameOf(resource), targetUrl((resource.spec as UpstreamSpec).url).origin]),
    );
  const known = addresses(before);
  return [...addresses(after)].filter(([key, address]) => known.has(key) && known.get(key) !== address).map(([key]) => key);
}

function prefixInUse(prefix: string, holders: readonly string[]): string {
  const named = holders.length > 5 ? `${holders.slice(0, 5).join(", ")} and more` : holders.join(", ");
  const way =
    "choose another prefix, or delete what is there: a publish takes the prefix once nothing of it can be restored any longer (gc.trashFor)";
  return `prefix ${prefix} holds pushed content (${named}): ${way}`;
}

function nameOf({ namespace, name }: { readonly namespace: string; readonly name: string }): string {
  return `${namespace}/${name}`;
}

function prefixOfSpec(resource: RecordedResource): string {
  return (resource.spec as UpstreamSpec).prefix;
}

function refuse(resource: RecordedResource, reason: string, message: string): RefusedResource {
  const { kind, namespace, name } = resource;
  return { kind, namespace, name, reason, message };
}
