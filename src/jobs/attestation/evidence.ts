// The version of one manifest, from what is attached to it: find, verify, read (design: tag-sync, points 2 to 4 and "Verification").

import type { EvidenceSource } from "../../api/kinds.ts";
import type { Digest } from "../../domain/digest.ts";
import { predicateTypes } from "../../domain/evidence-types.ts";
import type { Evidence } from "../../domain/ledger.ts";
import type { PublicKey } from "../../domain/public-key.ts";
import { fetchDocument, findAttachments, type AttachedDocument, type ContentSource } from "./discovery.ts";
import { parseEnvelope, verifyEnvelope } from "./envelope.ts";
import { AttestationError, furthest } from "./failure.ts";
import { readers } from "./readers/evidence-types.ts";
import { parseStatement, type Statement } from "./statement.ts";

export interface EvidenceQuestion {
  /** As the registry serves it, with its prefix. */
  readonly repository: string;
  /** The manifest that we resolved ourselves. */
  readonly digest: Digest;
  /** What may state the version; the first that does counts. */
  readonly evidence: readonly EvidenceSource[];
  /** The package whose version is the image's, where the evidence names no parameter. */
  readonly package: string;
  /** Keys that count; "Unverified" when the policy says so in writing. */
  readonly keys: readonly PublicKey[] | "Unverified";
}

export interface EvidenceAnswer {
  /** As the document writes it: not yet filtered. */
  readonly version: string;
  readonly evidence: Omit<Evidence, "platforms">;
  /** Manifest that lists the document. */
  readonly manifest: Digest;
}

interface Verified extends Statement {
  readonly document: Digest;
  readonly key: PublicKey | undefined;
}

/**
 * Rejects with AttestationError; of several failures with the one that came furthest. Errors of the source pass through: they say nothing about the evidence.
 *
 * A Rekor entry in the annotations (`dev.sigstore.cosign/bundle`) is not checked yet, so it is not reported either: no logIndex, no signed time.
 */
export async function readEvidence(source: ContentSource, question: EvidenceQuestion): Promise<EvidenceAnswer> {
  if (question.keys !== "Unverified" && question.keys.length === 0) {
    throw new AttestationError("KeyMissing", "the policy's Secrets have no public key that can be read (keys ending in .pub)");
  }
  const { manifest, documents } = await findAttachments(source, question.repository, question.digest);
  const verify = remember((document: AttachedDocument) => verifyDocument(source, question, document));
  const failures: AttestationError[] = [];
  for (const wanted of question.evidence) {
    const answer = await firstAnswer(question, wanted, documents, verify, failures);
    if (answer !== undefined) return { ...answer, manifest };
  }
  throw furthest(failures) ?? new AttestationError("SignatureMissing", "the policy names no evidence");
}

/** All documents of one type that verify must say the same. */
async function firstAnswer(
  question: EvidenceQuestion,
  wanted: EvidenceSource,
  documents: readonly AttachedDocument[],
  verify: (document: AttachedDocument) => Promise<Verified>,
  failures: AttestationError[],
): Promise<Omit<EvidenceAnswer, "manifest"> | undefined> {
  const predicateType = predicateTypes[wanted.type];
  const parameter = wanted.parameter ?? question.package;
  const hinted = documents.filter(({ hint }) => hint === predicateType);
  const others = documents.filter(({ hint }) => hint !== predicateType);
  for (const group of [hinted, others]) {
    const answers: { version: string; verified: Verified }[] = [];
    for (const document of group) {
      try {
        const verified = await verify(document);
        if (verified.predicateType !== predicateType) throw wrongType(verified, predicateType);
        answers.push({ version: readers[wanted.type](verified.predicate, parameter), verified });
      } catch (error) {
        if (!(error instanceof AttestationError)) throw error;
        // Where a document claims to be what is wanted, its failure is the one to report, not that others are something else.
        if (group === hinted || hinted.length === 0)
          failures.push(new AttestationError(error.code, `${document.digest}: ${error.message}`));
      }
    }
    const [first] = answers;
    if (first === undefined) continue;
    const other = answers.find(({ version }) => version !== first.version);
    if (other !== undefined) throw disagreement(first, other);
    return { version: first.version, evidence: describe(first.verified, wanted.type) };
  }
  return undefined;
}

/** The order of the checks is that of the design page; each throws its own failure. */
async function verifyDocument(
  source: ContentSource,
  { repository, digest, keys }: EvidenceQuestion,
  document: AttachedDocument,
): Promise<Verified> {
  const envelope = parseEnvelope(await fetchDocument(source, repository, document));
  const { payload, key } = verifyEnvelope(envelope, keys);
  return { ...parseStatement(payload, digest), document: document.digest, key };
}

function describe({ document, predicateType, key }: Verified, type: Evidence["type"]): Omit<Evidence, "platforms"> {
  const signer = key === undefined ? {} : { key: { fingerprint: key.fingerprint, name: key.name } };
  return { type, attestation: document, predicateType, ...signer };
}

function wrongType({ predicateType }: Statement, wanted: string): AttestationError {
  return new AttestationError("PredicateTypeMismatch", `the predicate is ${JSON.stringify(predicateType.slice(0, 200))}, not ${wanted}`);
}

function disagreement(a: { version: string; verified: Verified }, b: { version: string; verified: Verified }): AttestationError {
  const say = ({ version, verified }: typeof a) => `${verified.document} says ${JSON.stringify(version.slice(0, 100))}`;
  return new AttestationError("AttestationsDisagree", `${say(a)}, ${say(b)}`);
}

/** A document is fetched and verified once, however many types of evidence are tried on it. */
function remember<Key, Value>(work: (key: Key) => Promise<Value>): (key: Key) => Promise<Value> {
  const known = new Map<Key, Promise<Value>>();
  return (key) => {
    const running = known.get(key) ?? work(key);
    known.set(key, running);
    return running;
  };
}
