// DSSE envelopes (secure-systems-lab/dsse, protocol.md): exactly one signature over the PAE of an in-toto statement.

import { mediaTypes } from "../../domain/media-types.ts";
import type { PublicKey } from "../../domain/public-key.ts";
import { AttestationError } from "./failure.ts";
import { field, parseJson, text, type Json } from "./hostile-json.ts";
import { isSignedBy } from "./signature.ts";

// An envelope holds three strings and one signature. It is read before anything is verified, so it may hold hardly more.
const limits = { maxDepth: 4, maxTokens: 100 };

export interface Envelope {
  readonly payloadType: string;
  readonly payload: Uint8Array;
  readonly signature: Uint8Array;
}

/** AttestationError EnvelopeInvalid. */
export function parseEnvelope(bytes: Uint8Array): Envelope {
  return readEnvelope(readJson(bytes));
}

/** AttestationError EnvelopeInvalid. */
export function readEnvelope(json: Json | undefined): Envelope {
  const payloadType = text(field(json, "payloadType"));
  const payload = decodeBase64(field(json, "payload"));
  const signatures = field(json, "signatures");
  if (payloadType === undefined || payload === undefined) {
    throw new AttestationError("EnvelopeInvalid", "not a DSSE envelope: payload (base64) and payloadType are required");
  }
  // Several signatures invite the question which of them counts; cosign makes one.
  if (!Array.isArray(signatures) || signatures.length !== 1) {
    const found = Array.isArray(signatures) ? signatures.length : "no list of";
    throw new AttestationError("EnvelopeInvalid", `${found} signatures; exactly one is accepted`);
  }
  const signature = decodeBase64(field(signatures[0] as Json, "sig"));
  if (signature === undefined || signature.length === 0) throw new AttestationError("EnvelopeInvalid", "the signature is not base64");
  return { payloadType, payload, signature };
}

/** The key that made the signature; undefined: none of them. */
export function keyOf(envelope: Envelope, keys: readonly PublicKey[]): PublicKey | undefined {
  const message = preAuthenticationEncoding(envelope);
  return keys.find((key) => isSignedBy(key, message, envelope.signature));
}

/** The payload of an in-toto statement. AttestationError PayloadTypeMismatch. */
export function payloadOf({ payloadType, payload }: Envelope): Uint8Array {
  if (payloadType === mediaTypes.inToto) return payload;
  throw new AttestationError("PayloadTypeMismatch", `the payload is ${quoted(payloadType)}, not ${mediaTypes.inToto}`);
}

/** PAE: what is signed is the type and the exact bytes, with their lengths. */
export function preAuthenticationEncoding({ payloadType, payload }: Pick<Envelope, "payloadType" | "payload">): Uint8Array {
  const header = `DSSEv1 ${Buffer.byteLength(payloadType)} ${payloadType} ${payload.length} `;
  return Buffer.concat([Buffer.from(header), payload]);
}

function readJson(bytes: Uint8Array): Json {
  try {
    return parseJson(bytes, limits);
  } catch (error) {
    throw new AttestationError("EnvelopeInvalid", `not a DSSE envelope: ${(error as Error).message}`);
  }
}

/** Standard or URL-safe, as the DSSE specification allows; nothing else than its alphabet, which Buffer would skip. */
function decodeBase64(value: Json | undefined): Uint8Array | undefined {
  if (typeof value !== "string" || !/^(?:[A-Za-z0-9+/]*|[A-Za-z0-9_-]*)={0,2}$/.test(value)) return undefined;
  return Buffer.from(value, "base64");
}

function quoted(value: string): string {
  return JSON.stringify(value.slice(0, 100));
}
