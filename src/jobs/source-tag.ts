// One source tag of one image, from upstream's `latest` to a published version (design: tag-sync, points 1 to 8).

import type { MintProposal, Proposal } from "../api/control/proposals.ts";
import type { SyncOutcome } from "../api/control/runs.ts";
import type { PolicyImage, SourceTag, TagPolicySpec } from "../api/kinds.ts";
import type { ControlClient } from "../client/control-client.ts";
import { ClientError } from "../client/errors.ts";
import type { RegistryClient } from "../client/registry-client.ts";
import type { Digest } from "../domain/digest.ts";
import { filterVersion } from "../domain/version-filter.ts";
import { tagNames } from "../domain/version-tags.ts";
import { readAgreedVersion, type AgreedVersion } from "./agreed-version.ts";
import type { ContentSource } from "./attestation/discovery.ts";
import { AttestationError } from "./attestation/failure.ts";
import type { TrustedSigners } from "./attestation/signers.ts";
import { outOfService } from "./out-of-service.ts";
import { partsOf } from "./platforms.ts";
import { SyncFailure } from "./sync-failure.ts";

export interface SyncContext {
  readonly control: ControlClient;
  readonly registry: RegistryClient;
  /** Where evidence is read from. */
  readonly documents: ContentSource;
  readonly run: string;
  readonly spec: TagPolicySpec;
  /** An error: what the policy verifies with cannot be used, so no image can be judged. */
  readonly signers: TrustedSigners | "Unverified" | AttestationError;
  /** What an earlier run settled and this one need not look at. */
  settled(repository: string, sourceTag: string, digest: Digest): SyncOutcome | undefined;
  readonly signal: AbortSignal;
  /** Longest wait for a proposal to be published, milliseconds. */
  readonly publishWait: number;
}

export interface Minted {
  readonly repository: string;
  readonly version: string;
  readonly digest: Digest;
  /** Those that the build was proposed for; what is pinned or newer stays where it is. */
  readonly tags: readonly string[];
}

export type SourceTagResult =
  | { readonly state: "Settled"; readonly digest: Digest; readonly outcome: SyncOutcome }
  /** Judged, now or before, and taken out of the record by somebody: `why` says by whom. `failure`: what the proposal was answered now. */
  | { readonly state: "OutOfService"; readonly digest: Digest; readonly why: string; readonly failure?: SyncFailure | AttestationError }
  | { readonly state: "Minted"; readonly digest: Digest; readonly minted: Minted; readonly evidence: AgreedVersion["evidence"] }
  | { readonly state: "Failed"; readonly digest: Digest | undefined; readonly failure: SyncFailure | AttestationError };

/** Never rejects for what is wrong with the image or the way to it; only when `signal` aborts. `repository`: with its prefix. */
export async function syncSourceTag(
  context: SyncContext,
  { image, repository, source }: { readonly image: PolicyImage; readonly repository: string; readonly source: SourceTag },
): Promise<SourceTagResult> {
  let digest: Digest | undefined;
  try {
    // Once: everything below is about this digest, whatever the tag does meanwhile.
    digest = await context.registry.resolve(repository, source.name, { revalidate: true });
    if (digest === undefined) throw new SyncFailure("SourceTagMissing", `upstream has no tag ${source.name} of ${image.repository}`);
    const outcome = context.settled(image.repository, source.name, digest);
    if (outcome !== undefined) {
      const why = decidedByPeople.has(outcome.outcome) ? await outOfService(context.control, repository, digest) : undefined;
      return why === undefined ? { state: "Settled", digest, outcome } : { state: "OutOfService", digest, why };
    }
    return await mintDigest(context, { image, repository, source, digest });
  } catch (error) {
    context.signal.throwIfAborted();
    const failure = failureOf(error);
    if (digest === undefined || !decidedByPeople.has(failure.code)) return { state: "Failed", digest, failure };
    const why = await outOfService(context.control, repository, digest);
    return why === undefined ? { state: "Failed", digest, failure } : { state: "OutOfService", digest, why, failure };
  }
}

/** Outcomes behind which a decision in the record may stand. */
const decidedByPeople: ReadonlySet<string> = new Set(["Minted", "ProposalRefused"]);

interface Resolved {
  readonly image: PolicyImage;
  readonly repository: string;
  readonly source: SourceTag;
  readonly digest: Digest;
}

async function mintDigest(context: SyncContext, resolved: Resolved): Promise<SourceTagResult> {
  const { image, repository, source, digest } = resolved;
  const { spec, signers, registry, documents } = context;
  if (signers instanceof AttestationError) throw signers;
  const parts = await partsOf(registry, repository, digest, spec.platforms);
  context.signal.throwIfAborted();
  const packageName = image.package ?? image.repository.slice(image.repository.lastIndexOf("/") + 1);
  const agreed = await readAgreedVersion(documents, parts, { repository, evidence: spec.evidence, package: packageName, signers });
  const { version, tags } = namesOf(agreed.version, spec, source);
  context.signal.throwIfAborted();
  const missing = await copy(context, resolved, agreed.manifests);
  const proposal = await propose(context, missing, {
    kind: "mint",
    run: context.run,
    repository: image.repository,
    build: {
      version,
      digest,
      sourceTag: source.name,
      seen: new Date().toISOString(),
      evidence: { ...agreed.evidence, platforms: [...agreed.evidence.platforms] },
    },
    tags: [...tags],
    onRebuild: spec.onRebuild,
    evidenceManifests: [...agreed.manifests],
  });
  await published(context, proposal);
  return { state: "Minted", digest, minted: { repository, version, digest, tags }, evidence: agreed.evidence };
}

/** SyncFailure-like AttestationError VersionRefused: read, and not wanted. */
function namesOf(text: string, spec: TagPolicySpec, source: SourceTag): { version: string; tags: readonly string[] } {
  const judged = filterVersion(text, spec.versions);
  if ("refused" in judged) throw new AttestationError("VersionRefused", judged.refused);
  const sourceTags = spec.sourceTags.map(({ name }) => name);
  const names = tagNames(judged.version, { templates: spec.tags, suffix: source.suffix, sourceTags });
  if (names.tags.length === 0) {
    const reasons = names.refused.map(({ template, reason }) => `${template}: ${reason}`).join("; ");
    throw new AttestationError("VersionRefused", `${judged.version.full} makes no tag: ${reasons}`);
  }
  return { version: judged.version.full, tags: names.tags };
}

/**
 * No layer passes through here: the registry fetches, the image and its evidence, or with `copy: Reference` the evidence alone (a document that we
 * have read may still be on its way into the store). What could not be had is the registry's to judge, when it gets the proposal.
 */
async function copy(
  { control, spec, signal }: SyncContext,
  { repository, digest }: Resolved,
  evidence: readonly Digest[],
): Promise<readonly string[]> {
  const wanted = spec.copy === "Image" ? [digest, ...evidence] : evidence;
  const [reference, ...also] = wanted;
  return reference === undefined ? [] : (await control.prefetch({ repository, reference, also }, { signal })).missing;
}

async function propose({ control }: SyncContext, missing: readonly string[], proposal: MintProposal): Promise<Proposal> {
  try {
    return await control.propose(proposal);
  } catch (error) {
    if (!(error instanceof ClientError) || error.temporary) throw error;
    throw new SyncFailure(missing.length > 0 ? "CopyIncomplete" : "ProposalRefused", error.message, { cause: error });
  }
}

/** Waits until the proposal is in the published revision. */
async function published({ control, signal, publishWait }: SyncContext, proposal: Proposal): Promise<void> {
  const end = performance.now() + publishWait;
  let current = proposal;
  while (current.state === "waiting" && performance.now() < end) {
    const waitSeconds = Math.max(1, Math.min(25, Math.ceil((end - performance.now()) / 1_000)));
    current = await control.proposal(proposal.id, { waitSeconds, signal });
  }
  if (current.state === "waiting") {
    throw new SyncFailure("NotPublished", `proposal ${proposal.id} waits to be committed; is the operator running, and can it push?`);
  }
  if (current.state === "refused") throw new SyncFailure("ProposalRefused", current.reason ?? "the operator refused it");
}

function failureOf(error: unknown): SyncFailure | AttestationError {
  if (error instanceof SyncFailure || error instanceof AttestationError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new SyncFailure("Unavailable", message, { cause: error });
}
