// One version for the whole image: what its index says and what its platforms say must be the same (design: tag-sync, point 4).

import type { Digest } from "../domain/digest.ts";
import type { Evidence } from "../domain/ledger.ts";
import type { ContentSource } from "./attestation/discovery.ts";
import { readEvidence, type EvidenceAnswer, type EvidenceQuestion } from "./attestation/evidence.ts";
import { AttestationError, furthest } from "./attestation/failure.ts";
import type { ImagePart, ImageParts } from "./platforms.ts";

export interface AgreedVersion {
  /** As the documents write it. */
  readonly version: string;
  readonly evidence: Evidence;
  /** Manifests that list the documents: they are kept with the version. */
  readonly manifests: readonly Digest[];
}

interface Answer extends EvidenceAnswer {
  readonly part: ImagePart;
}

/**
 * A signature over the index covers all that it names, so evidence for it is enough; without it every platform needs its own.
 * Whatever is verified has to agree. Rejects with AttestationError.
 */
export async function readAgreedVersion(
  source: ContentSource,
  { root, platforms }: ImageParts,
  question: Omit<EvidenceQuestion, "digest">,
): Promise<AgreedVersion> {
  const answers: Answer[] = [];
  const failures: { part: ImagePart; failure: AttestationError }[] = [];
  for (const part of [root, ...platforms]) {
    try {
      answers.push({ ...(await readEvidence(source, { ...question, digest: part.digest })), part });
    } catch (failure) {
      if (!(failure instanceof AttestationError)) throw failure;
      failures.push({ part, failure });
    }
  }
  // The documents of one part contradict each other: that another part says enough does not settle which of them is right.
  const torn = failures.filter(({ failure }) => failure.code === "AttestationsDisagree");
  if (torn.length > 0) throw mostTelling(torn, root, platforms.length > 0);
  const [first] = answers;
  const wholly = answers.some(({ part }) => part === root) || (platforms.length > 0 && answers.length === platforms.length);
  const other = answers.find(({ version }) => version !== first?.version);
  if (first !== undefined && other !== undefined) throw disagreement(first, other, root);
  if (first === undefined || !wholly) throw mostTelling(failures, root, platforms.length > 0);
  const covered = first.part === root && platforms.length > 0 ? platforms : answers.map(({ part }) => part);
  return {
    version: first.version,
    evidence: { ...first.evidence, platforms: covered.map(({ platform }) => platform).filter((platform) => platform !== undefined) },
    manifests: [...new Set(answers.map(({ manifest }) => manifest))],
  };
}

function disagreement(a: Answer, b: Answer, root: ImagePart): AttestationError {
  const say = ({ part, version }: Answer) => `${called(part, root)} is ${JSON.stringify(version.slice(0, 100))}`;
  return new AttestationError("PlatformsDisagree", `${say(a)}, ${say(b)}`);
}

/** In a sentence. */
function called(part: ImagePart, root: ImagePart): string {
  if (part === root) return "the index";
  return part.platform ?? `the entry ${part.digest}, which names no platform that can be read,`;
}

/** Named after the part it is about. Where some platforms have evidence, one that has none says more than the index. */
function mostTelling(
  failures: readonly { readonly part: ImagePart; readonly failure: AttestationError }[],
  root: ImagePart,
  isIndex: boolean,
): AttestationError {
  const named = failures.map(({ part, failure }) => ({
    part,
    failure: isIndex ? new AttestationError(failure.code, `${called(part, root)}: ${failure.message}`) : failure,
  }));
  const ofRoot = named.filter(({ part }) => part === root).map(({ failure }) => failure);
  const ofPlatforms = named.filter(({ part }) => part !== root).map(({ failure }) => failure);
  return (
    furthest([...ofPlatforms, ...ofRoot]) ?? new AttestationError("SignatureMissing", "the image has no part whose evidence could be read")
  );
}
