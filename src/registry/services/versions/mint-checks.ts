// What a proposed version must agree with before it is stored (design: tag-sync, point 7): the policy as published, and what this registry saw itself.
// So a job that was taken over can misname a build of the same image, never bind foreign bytes.

import type { MintProposal } from "../../../api/control/proposals.ts";
import type { Digest } from "../../../domain/digest.ts";
import { predicateTypes } from "../../../domain/evidence-types.ts";
import type { SecretSource } from "../../../domain/secrets.ts";
import { tagNames } from "../../../domain/version-tags.ts";
import { parseVersion } from "../../../domain/version.ts";
import { filterVersion } from "../../../domain/version-filter.ts";
import type { Queryable } from "../../metadata/database.ts";
import { childrenOfManifest, firstSeenAt, hasDocument, manifestsReferringTo, manifestsSeenAt } from "../../metadata/proposal-checks.ts";
import { ServiceError } from "../errors.ts";
import { keyOf, type PolicyScope } from "../runs/policy-scope.ts";
import { checkSigner } from "./signer-checks.ts";

const maxEvidenceManifests = 100;
const maxPlatforms = 100;

/** Throws ServiceError DENIED for what the policy does not allow, INVALID for what is malformed. */
export function checkAgainstPolicy(request: MintProposal, scope: PolicyScope, secrets: SecretSource): void {
  const { spec } = scope.policy;
  const policy = `TagPolicy ${keyOf(scope.policy)}`;
  const { build, tags } = request;
  const source = spec.sourceTags.find(({ name }) => name === build.sourceTag);
  if (source === undefined) throw new ServiceError("DENIED", `${build.sourceTag} is no source tag of ${policy}.`);
  const version = parseVersion(build.version);
  if (version === undefined) throw new ServiceError("INVALID", `"${build.version.slice(0, 100)}" is not a version.`);
  const judged = filterVersion(build.version, spec.versions?.semver === undefined ? {} : { semver: spec.versions.semver });
  if ("refused" in judged) throw new ServiceError("DENIED", `${policy}: ${judged.refused}.`);
  if (request.onRebuild !== spec.onRebuild) throw new ServiceError("DENIED", `onRebuild is ${spec.onRebuild} in ${policy}.`);
  const names = tagNames(version, {
    templates: spec.tags,
    suffix: source.suffix,
    sourceTags: spec.sourceTags.map(({ name }) => name),
  });
  const foreign = tags.find((tag) => !names.tags.includes(tag));
  if (foreign !== undefined)
    throw new ServiceError("DENIED", `The templates of ${policy} do not make the tag ${foreign.slice(0, 128)} of ${version.full}.`);
  if (tags.length === 0) throw new ServiceError("INVALID", "A proposal names at least one tag.");
  checkEvidence(request, scope, secrets);
}

function checkEvidence({ build, evidenceManifests }: MintProposal, scope: PolicyScope, secrets: SecretSource): void {
  const { evidence } = build;
  const { spec } = scope.policy;
  const policy = `TagPolicy ${keyOf(scope.policy)}`;
  if (!spec.evidence.some(({ type }) => type === evidence.type))
    throw new ServiceError("DENIED", `${evidence.type} is no evidence of ${policy}.`);
  if (evidence.predicateType !== predicateTypes[evidence.type]) {
    throw new ServiceError("DENIED", `${evidence.type} has the predicate type ${predicateTypes[evidence.type]}.`);
  }
  checkSigner(evidence, scope, secrets);
  if (evidenceManifests.length === 0 || evidenceManifests.length > maxEvidenceManifests) {
    throw new ServiceError("INVALID", `A proposal names 1 to ${maxEvidenceManifests} manifests of evidence.`);
  }
  const odd = evidence.platforms.find((platform) => !/^[a-z0-9._-]+(?:\/[a-z0-9._-]+){1,2}$/.test(platform) || platform.length > 100);
  if (odd !== undefined || evidence.platforms.length > maxPlatforms) {
    throw new ServiceError("INVALID", "Platforms are written os/architecture or os/architecture/variant, at most 100 of them.");
  }
}

/** When this registry first saw the build. ServiceError DENIED for a digest that it never saw there, or evidence that is not stored for it. */
export async function checkAgainstHistory(
  transaction: Queryable,
  repository: { readonly id: number; readonly name: string },
  { build, evidenceManifests }: MintProposal,
): Promise<string> {
  const digest = build.digest as Digest;
  const manifests = evidenceManifests as Digest[];
  const seen = await firstSeenAt(transaction, repository.id, { tag: build.sourceTag, digest });
  if (seen === undefined)
    throw new ServiceError("DENIED", `This registry never saw ${repository.name}:${build.sourceTag} point at ${digest}.`);
  const subjects = [digest, ...(await childrenOfManifest(transaction, repository.id, digest))];
  const tags = subjects.map((subject) => `${subject.replace(":", "-")}.att`);
  const attached = (await manifestsSeenAt(transaction, repository.id, { tags, manifests })).union(
    await manifestsReferringTo(transaction, repository.id, { subjects, manifests }),
  );
  const foreign = manifests.find((manifest) => !attached.has(manifest));
  if (foreign !== undefined) {
    throw new ServiceError("DENIED", `${foreign} was not attached to ${digest} or one of its platforms, as far as this registry saw.`);
  }
  const document = build.evidence.attestation as Digest;
  if (!(await hasDocument(transaction, repository.id, { document, manifests }))) {
    throw new ServiceError("DENIED", `The evidence ${document} is not stored for ${digest}. Pull it through this registry first.`);
  }
  return seen;
}
