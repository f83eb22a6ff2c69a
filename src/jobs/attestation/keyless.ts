// Keyless signatures: a certificate for some minutes, and logs that saw it (design: tag-sync, "Verification"; Sigstore client specification, 4).
// @sigstore/verify does the cryptography. What it leaves to its caller is done here: bounds, the certificate's use, its identity, and that the log entry is
// about this certificate.

import { bundleFromJSON, type Bundle } from "@sigstore/bundle";
import { X509Certificate } from "@sigstore/core";
import { toSignedEntity, VerificationError, Verifier, type SignedEntity } from "@sigstore/verify";

import type { SignerIdentity } from "../../domain/signer-identity.ts";
import { identityOf, requireCodeSigning } from "./certificate.ts";
import { AttestationError } from "./failure.ts";
import { certificateInLog, requireLogsInForce, type LogEntry } from "./log-entry.ts";
import type { SignedDocument } from "./signed-document.ts";
import type { TrustAnchors } from "./trust-anchors.ts";

export interface KeylessSigner extends SignerIdentity {
  /** Absent where nothing that is verified states one. */
  readonly logIndex?: number;
  /** The earliest time that is attested, RFC 3339. */
  readonly signed: string;
  /** Digest of the trusted root that it was verified with. */
  readonly rootVersion: string;
}

// Fulcio's certificates have 1 to 3 KiB, a timestamp less than 6; what is larger costs time to read (with its square) and was made for that.
const maxCertificateBytes = 16 * 1024;
const maxTimestampBytes = 16 * 1024;
const maxCheckpointBytes = 16 * 1024;
/** Of an index or a time: 64 bits. A number of a million digits takes a second to read. */
const maxDigits = 20;
/** Of each kind; there is one, or two where somebody asked two authorities. */
const maxWitnesses = 8;

/** Who signed the envelope, as the trusted root knows it. Whether the policy wants them is another question. AttestationError, nothing else. */
export function verifyKeyless(document: SignedDocument, { material, version }: TrustAnchors): KeylessSigner {
  const bundle = readMaterial(document);
  const certificate = certificateOf(bundle);
  const { tlogEntries } = bundle.verificationMaterial;
  const logged = tlogEntries.map(certificateInLog);
  const entity = unlessMalformed(() => toSignedEntity(bundle));
  const leaf = unlessMalformed(() => X509Certificate.parse(certificate));
  const times = unlessMalformed(() => signedTimes(entity));
  try {
    new Verifier(material).verify(entity);
  } catch (error) {
    throw unlessMalformed(() => failureOf(error, { leaf, times, entries: tlogEntries.length }));
  }
  if (!logged.every((der) => der !== undefined && certificate.equals(der))) {
    throw new AttestationError("LogEntryMismatch", "the log entry is about another certificate than the one that came with the signature");
  }
  requireLogsInForce(tlogEntries, material.tlogs, times);
  return unlessMalformed(() => {
    requireCodeSigning(leaf);
    return { ...identityOf(leaf), ...logIndexOf(bundle), signed: earliest(times), rootVersion: version };
  });
}

/** What was read strictly is what is verified: the envelope is written anew from its bytes. */
function readMaterial({ envelope, vouched }: SignedDocument): Bundle {
  if (vouched === undefined) throw withoutCertificate();
  const { payloadType, payload, signature } = envelope;
  const dsseEnvelope = { payloadType, payload: base64(payload), signatures: [{ sig: base64(signature) }] };
  const { mediaType, material } = vouched;
  const bundle = unlessMalformed(() => bundleFromJSON({ mediaType, verificationMaterial: material, dsseEnvelope }));
  const { tlogEntries, timestampVerificationData } = bundle.verificationMaterial;
  const timestamps = timestampVerificationData?.rfc3161Timestamps ?? [];
  if (tlogEntries.length > maxWitnesses || timestamps.length > maxWitnesses) {
    throw new AttestationError(
      "BundleInvalid",
      `${tlogEntries.length} log entries and ${timestamps.length} timestamps; ${maxWitnesses} of each are read`,
    );
  }
  const tooLarge = timestamps.some(({ signedTimestamp }) => signedTimestamp.length > maxTimestampBytes) || tlogEntries.some(isTooLarge);
  if (tooLarge)
    throw new AttestationError("BundleInvalid", "a timestamp, or a log's checkpoint or number, is larger than any that is read");
  return bundle;
}

function isTooLarge({ logIndex, integratedTime, inclusionProof }: LogEntry): boolean {
  const numerals = [logIndex, integratedTime, inclusionProof?.logIndex ?? ""];
  return numerals.some(({ length }) => length > maxDigits) || (inclusionProof?.checkpoint?.envelope.length ?? 0) > maxCheckpointBytes;
}

function certificateOf({ verificationMaterial: { content } }: Bundle): Buffer<ArrayBuffer> {
  if (content.$case === "publicKey") throw withoutCertificate();
  const certificate = content.$case === "certificate" ? content.certificate : content.x509CertificateChain.certificates[0];
  const bytes = Buffer.from(certificate?.rawBytes ?? []);
  if (bytes.length <= maxCertificateBytes) return bytes;
  throw new AttestationError("BundleInvalid", `the certificate is larger than ${maxCertificateBytes / 1024} KiB`);
}

function withoutCertificate(): AttestationError {
  return new AttestationError(
    "CertificateMissing",
    "it came without a certificate, so a key signed it: name its public key in spec.verify.keys",
  );
}

/** Of timestamps, and of log entries whose log promised them. An inclusion proof alone says nothing about time. Not verified yet. */
function signedTimes({ timestamps }: SignedEntity): Date[] {
  return timestamps.flatMap((stated) => {
    if (stated.$case === "timestamp-authority") return [stated.timestamp.signingTime];
    return stated.tlogEntry.inclusionPromise === undefined ? [] : [new Date(Number(stated.tlogEntry.integratedTime) * 1_000)];
  });
}

function earliest(times: readonly Date[]): string {
  return new Date(Math.min(...times.map((time) => time.getTime()))).toISOString();
}

/** A promise signs the entry's index in the whole log, a proof the one in its tree; the field beside them is nobody's word. */
function logIndexOf({ verificationMaterial: { tlogEntries } }: Bundle): { logIndex?: number } {
  const [entry] = tlogEntries;
  const logIndex = Number(entry?.inclusionPromise === undefined ? entry?.inclusionProof?.logIndex : entry.logIndex);
  return Number.isSafeInteger(logIndex) && logIndex >= 0 ? { logIndex } : {};
}

interface Found {
  readonly leaf: X509Certificate;
  readonly times: readonly Date[];
  readonly entries: number;
}

function failureOf(error: unknown, found: Found): AttestationError {
  if (!(error instanceof VerificationError)) return malformed(error);
  const { code, message } = error;
  switch (code) {
    case "TIMESTAMP_ERROR":
      return found.times.length === 0
        ? new AttestationError(
            "SignedTimeMissing",
            "neither a timestamp nor a log's promise says when it was signed: sign with a timestamp authority or a log that promises",
          )
        : new AttestationError(
            "SignedTimeInvalid",
            `${message}: it is of no timestamp authority of the trusted root, or about another signature`,
          );
    case "CERTIFICATE_ERROR":
      return certificateFailure(message, found);
    case "TLOG_ERROR":
      return found.entries === 0
        ? new AttestationError("LogEntryMissing", "no entry of a signature log came with it: sign with a log (cosign's --tlog-upload)")
        : new AttestationError("LogEntryInvalid", message);
    case "TLOG_BODY_ERROR":
      return new AttestationError("LogEntryMismatch", `the log entry is about something else: ${message}`);
    case "TLOG_INCLUSION_PROMISE_ERROR":
    case "TLOG_INCLUSION_PROOF_ERROR":
    case "TLOG_MISSING_INCLUSION_ERROR":
      return new AttestationError("LogEntryInvalid", `${message}: no log of the trusted root states that it has the entry`);
    case "SIGNATURE_ERROR":
      return new AttestationError("SignatureInvalid", "not signed with the key of its certificate, or changed after signing");
    case "PUBLIC_KEY_ERROR":
    case "NOT_IMPLEMENTED_ERROR":
      return malformed(error);
  }
}

function certificateFailure(message: string, { leaf, times }: Found): AttestationError {
  if (/\bSCTs?\b/.test(message)) {
    return new AttestationError(
      "CertificateNotLogged",
      `no certificate log of the trusted root states that it has the certificate (${message})`,
    );
  }
  const late = times.find((time) => !leaf.validForDate(time));
  if (late === undefined)
    return new AttestationError("CertificateUntrusted", "the certificate was issued by no authority of the trusted root");
  const [from, to, signed] = [leaf.notBefore, leaf.notAfter, late].map((time) => time.toISOString());
  return new AttestationError("CertificateExpired", `the certificate was in force from ${from} to ${to}, and it was signed at ${signed}`);
}

/** What strangers write may be anything, and the libraries meet some of it with a TypeError. */
function unlessMalformed<Value>(read: () => Value): Value {
  try {
    return read();
  } catch (error) {
    throw error instanceof AttestationError ? error : malformed(error);
  }
}

function malformed(error: unknown): AttestationError {
  const message = error instanceof Error ? error.message.slice(0, 200) : "of an unknown form";
  return new AttestationError("BundleInvalid", `what came with the signature cannot be read: ${message}`);
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}
