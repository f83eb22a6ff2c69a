// The version of one manifest, from what is attached to it: find, verify, read (design: tag-sync, points 2 to 4 and "Verification").

import type { EvidenceSource } from "../../api/kinds.ts";
import type { Digest } from "../../domain/digest.ts";
import { predicateTypes } from "../../domain/evidence-types.ts";
import type { Evidence } from "../../domain/ledger.ts";
import { fetchDocument, findAttachments, type AttachedDocument, type ContentSource } from "./discovery.ts";
import { payloadOf } from "./envelope.ts";
import { AttestationError, furthest } from "./failure.ts";
import { readers } from "./readers/evidence-types.ts";
import { readAttachedEnvelope, readBundle } from "./signed-document.ts";
import { requireWanted, signerOf, type Signer, type TrustedSigners } from "./signers.ts";
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
  /** Whose signature counts; "Unverified" when the policy says so in writing. */
  readonly signers: TrustedSigners | "Unverified";
}

export interface EvidenceAnswer {
  /** As the document writes it: not yet filtered. */
  readonly version: string;
  readonly evidence: Omit<Evidence, "platforms">;
  /** Manifest that lists the document. */
  readonly manifest: Digest;
}

/** Most bytes of a statement that is read although nobody wants its signer: more than most provenances have, less than most SBOMs. */
const maxForeignBytes = 64 * 1024;

/** What is kept of a document until all are read: no predicate, which takes up to ten times its bytes, and 50 may be attached. */
interface Verified extends Pick<Statement, "predicateType"> {
  readonly document: AttachedDocument;
  readonly signer: Signer | undefined;
  /** What it states, or why it does not, for each evidence of its type that the policy names. */
  readonly readings: ReadonlyMap<EvidenceSource, string | AttestationError>;
}

/** Rejects with AttestationError; of several failures with the one that came furthest. Errors of the source pass through: they say nothing about the evidence. */
export async function readEvidence(source: ContentSource, question: EvidenceQuestion): Promise<EvidenceAnswer> {
  requireSigners(question.signers);
  const documents = await findAttachments(source, question.repository, question.digest);
  const verify = remember((document: AttachedDocument) => verifyDocument(source, question, document));
  const failures: AttestationError[] = [];
  for (const wanted of question.evidence) {
    const answer = await firstAnswer(question, wanted, documents, verify, failures);
    if (answer !== undefined) return answer;
  }
  throw furthest(failures) ?? new AttestationError("SignatureMissing", "the policy names no evidence");
}

function requireSigners(signers: EvidenceQuestion["signers"]): void {
  if (signers === "Unverified" || signers.keys.length > 0 || signers.keyless !== undefined) return;
  throw new AttestationError("KeyMissing", "the policy's Secrets have no public key that can be read (keys ending in .pub)");
}

/** All documents of one type that verify must say the same. */
async function firstAnswer(
  question: EvidenceQuestion,
  wanted: EvidenceSource,
  documents: readonly AttachedDocument[],
  verify: (document: AttachedDocument) => Promise<Verified>,
  failures: AttestationError[],
): Promise<EvidenceAnswer | undefined> {
  const predicateType = predicateTypes[wanted.type];
  const hinted = documents.filter(({ hint }) => hint === predicateType);
  const others = documents.filter(({ hint }) => hint !== predicateType);
  for (const group of [hinted, others]) {
    const answers: { version: string; verified: Verified }[] = [];
    for (const document of group) {
      try {
        const verified = await verify(document);
        if (verified.predicateType !== predicateType) throw wrongType(verified, predicateType);
        requireWanted(verified.signer, question.signers);
        const version = verified.readings.get(wanted);
        if (typeof version !== "string") throw version;
        answers.push({ version, verified });
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
    return { version: first.version, evidence: describe(first.verified, wanted.type), manifest: first.verified.document.manifest };
  }
  return undefined;
}

/** The order of the checks is that of the design page; each throws its own failure. */
async function verifyDocument(source: ContentSource, question: EvidenceQuestion, document: AttachedDocument): Promise<Verified> {
  const { repository, digest, signers } = question;
  const bytes = await fetchDocument(source, repository, document);
  const signed = document.form === "Bundle" ? readBundle(bytes) : readAttachedEnvelope(bytes, document.annotations);
  const signer = signers === "Unverified" ? undefined : signerOf(signed, signers);
  const payload = payloadOf(signed.envelope);
  // Everybody gets a certificate. What a stranger signed is read to say what it is, unless that would cost as much as an SBOM does.
  if (payload.length > maxForeignBytes) requireWanted(signer, signers);
  const said = parseStatement(payload, digest);
  return { predicateType: said.predicateType, readings: readAll(question, said), document, signer };
}

/** No function here holds the predicate: a failure keeps those of its stack, and they what they hold. */
function readAll({ evidence, package: packageName }: EvidenceQuestion, { predicateType, predicate }: Statement): Verified["readings"] {
  const readings = new Map<EvidenceSource, string | AttestationError>();
  for (const source of evidence) {
    if (predicateTypes[source.type] !== predicateType) continue;
    try {
      readings.set(source, readers[source.type](predicate, source.parameter ?? packageName));
    } catch (error) {
      if (!(error instanceof AttestationError)) throw error;
      readings.set(source, error);
    }
  }
  return readings;
}

function describe({ document, predicateType, signer }: Verified, type: Evidence["type"]): Omit<Evidence, "platforms"> {
  return { type, attestation: document.digest, predicateType, ...evidenceOf(signer) };
}

function evidenceOf(signer: Signer | undefined): Partial<Evidence> {
  if (signer === undefined) return {};
  return "key" in signer ? { key: { fingerprint: signer.key.fingerprint, name: signer.key.name } } : signer.certified;
}

function wrongType({ predicateType }: Pick<Statement, "predicateType">, wanted: string): AttestationError {
  return new AttestationError("PredicateTypeMismatch", `the predicate is ${JSON.stringify(predicateType.slice(0, 200))}, not ${wanted}`);
}

function disagreement(a: { version: string; verified: Verified }, b: { version: string; verified: Verified }): AttestationError {
  const say = ({ version, verified }: typeof a) => `${verified.document.digest} says ${JSON.stringify(version.slice(0, 100))}`;
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
