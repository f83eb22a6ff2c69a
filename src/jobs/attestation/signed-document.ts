// One document as it is attached: an envelope, and what vouches for who signed it. Sigstore bundles (protobuf-specs, sigstore_bundle.proto) carry both;
// the layers of a `.att` tag carry the rest in annotations (cosign specs/SIGNATURE_SPEC.md, "Properties").

import { mediaTypes } from "../../domain/media-types.ts";
import { parseEnvelope, readEnvelope, type Envelope } from "./envelope.ts";
import { AttestationError } from "./failure.ts";
import { field, isObject, parseJson, text, type Json, type JsonObject } from "./hostile-json.ts";

export interface SignedDocument {
  readonly envelope: Envelope;
  /** Certificate, log entries, timestamps, unread. Undefined: nothing vouches for the signer, so only a key can. */
  readonly vouched: { readonly mediaType: string; readonly material: JsonObject } | undefined;
}

const oldBundle = "application/vnd.dev.sigstore.bundle+json;version=0.1";
const bundleTypes: ReadonlySet<string> = new Set([
  oldBundle,
  "application/vnd.dev.sigstore.bundle+json;version=0.2",
  "application/vnd.dev.sigstore.bundle+json;version=0.3",
  mediaTypes.sigstoreBundle,
]);

// A bundle of today has about 80 values, most of them hashes of an inclusion proof. The payload is one string.
const limits = { maxDepth: 12, maxTokens: 1_000 };

/** True for the media types of a bundle that is read: v0.1, v0.2 and both ways to write v0.3. */
export function isBundleType(mediaType: string): boolean {
  return bundleTypes.has(mediaType);
}

/** AttestationError BundleInvalid, EnvelopeInvalid. */
export function readBundle(bytes: Uint8Array): SignedDocument {
  const json = readJson(bytes, "a Sigstore bundle");
  const mediaType = text(field(json, "mediaType"));
  if (mediaType === undefined || !isBundleType(mediaType)) {
    const found = JSON.stringify(mediaType?.slice(0, 100) ?? null);
    throw new AttestationError("BundleInvalid", `the bundle's mediaType is ${found}; Sigstore bundles v0.1 to v0.3 are read`);
  }
  const material = field(json, "verificationMaterial");
  if (field(json, "dsseEnvelope") === undefined) {
    throw new AttestationError(
      "EnvelopeInvalid",
      "the bundle signs bytes that it does not carry; one with a DSSE envelope is an attestation",
    );
  }
  return { envelope: readEnvelope(field(json, "dsseEnvelope")), vouched: isObject(material) ? { mediaType, material } : undefined };
}

/** `annotations` of the layer that is `bytes`. AttestationError BundleInvalid, EnvelopeInvalid. */
export function readAttachedEnvelope(bytes: Uint8Array, annotations: Json | undefined): SignedDocument {
  const envelope = parseEnvelope(bytes);
  const certificate = text(field(annotations, "dev.sigstore.cosign/certificate"));
  if (certificate === undefined || certificate === "") return { envelope, vouched: undefined };
  // `dev.sigstore.cosign/chain` is left where it is: the chain leads to the trusted root, or nowhere.
  const material = {
    x509CertificateChain: { certificates: [{ rawBytes: derOf(certificate) }] },
    tlogEntries: logEntries(text(field(annotations, "dev.sigstore.cosign/bundle"))),
    timestampVerificationData: { rfc3161Timestamps: timestamps(text(field(annotations, "dev.sigstore.cosign/rfc3161timestamp"))) },
  };
  return { envelope, vouched: { mediaType: oldBundle, material } };
}

/** Base64 of the first certificate. */
function derOf(pem: string): string {
  const [, body] = /^\s*-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/.exec(pem) ?? [];
  if (body === undefined)
    throw new AttestationError("BundleInvalid", "the annotation dev.sigstore.cosign/certificate is not a PEM certificate");
  return body.replaceAll(/\s/g, "");
}

/** Rekor's answer as cosign keeps it, in the terms of a bundle. */
function logEntries(annotation: string | undefined): JsonObject[] {
  if (annotation === undefined || annotation === "") return [];
  const json = readJson(Buffer.from(annotation), "a log entry (annotation dev.sigstore.cosign/bundle)");
  const payload = field(json, "Payload");
  const body = text(field(payload, "body")) ?? "";
  const entry = readJson(Buffer.from(body, "base64"), "a log entry (annotation dev.sigstore.cosign/bundle, body)");
  return [
    {
      logIndex: numeral(field(payload, "logIndex")),
      logId: { keyId: Buffer.from(text(field(payload, "logID")) ?? "", "hex").toString("base64") },
      kindVersion: { kind: text(field(entry, "kind")) ?? "", version: text(field(entry, "apiVersion")) ?? "" },
      integratedTime: numeral(field(payload, "integratedTime")),
      inclusionPromise: { signedEntryTimestamp: text(field(json, "SignedEntryTimestamp")) ?? "" },
      canonicalizedBody: body,
    },
  ];
}

/** JSON of protocol buffers writes large numbers as text. */
function numeral(value: Json | undefined): string {
  return typeof value === "number" ? String(value) : "";
}

function timestamps(annotation: string | undefined): JsonObject[] {
  if (annotation === undefined || annotation === "") return [];
  const json = readJson(Buffer.from(annotation), "a timestamp (annotation dev.sigstore.cosign/rfc3161timestamp)");
  return [{ signedTimestamp: text(field(json, "SignedRFC3161Timestamp")) ?? "" }];
}

function readJson(bytes: Uint8Array, what: string): Json {
  try {
    return parseJson(bytes, limits);
  } catch (error) {
    throw new AttestationError("BundleInvalid", `not ${what}: ${(error as Error).message}`);
  }
}
