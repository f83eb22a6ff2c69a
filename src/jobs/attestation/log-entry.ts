// What an entry of a Rekor log is about. @sigstore/verify compares signature and payload with it; that it is about this certificate too is ours to
// compare (Sigstore client specification, 4.4): otherwise the entry of one signer speaks for another.

import type { Bundle } from "@sigstore/bundle";
import type { TrustMaterial } from "@sigstore/verify";

import { AttestationError } from "./failure.ts";
import { field, list, parseJson, text, type Json } from "./hostile-json.ts";

export type LogEntry = Bundle["verificationMaterial"]["tlogEntries"][number];

// The largest that are seen are 10 KiB.
const maxBodyBytes = 256 * 1024;
const limits = { maxDepth: 16, maxTokens: 1_000 };

/** Where the entries of each kind have the certificate: as PEM (the first log) or DER (Rekor v2), both in base64. */
const certificates: ReadonlyMap<string, (body: Json) => Json | undefined> = new Map([
  ["dsse 0.0.1", (body: Json) => field(list(at(body, "spec", "signatures"))[0], "verifier")],
  ["dsse 0.0.2", (body: Json) => at(list(at(body, "spec", "dsseV002", "signatures"))[0], ...rawCertificate)],
  ["intoto 0.0.2", (body: Json) => field(list(at(body, "spec", "content", "envelope", "signatures"))[0], "publicKey")],
  ["hashedrekord 0.0.1", (body: Json) => at(body, "spec", "signature", "publicKey", "content")],
  ["hashedrekord 0.0.2", (body: Json) => at(body, "spec", "hashedRekordV002", "signature", ...rawCertificate)],
]);
const rawCertificate = ["verifier", "x509Certificate", "rawBytes"];

/**
 * DER of the certificate that the entry is about; undefined when it is about a key. Says nothing about whether the log has the entry.
 * AttestationError LogEntryUnsupported, LogEntryInvalid.
 */
export function certificateInLog({ kindVersion, canonicalizedBody }: LogEntry): Uint8Array | undefined {
  const kind = `${kindVersion.kind} ${kindVersion.version}`;
  const read = certificates.get(kind);
  if (read === undefined) throw unsupported(kind);
  const logged = text(read(bodyOf(canonicalizedBody)));
  return logged === undefined ? undefined : derOf(Buffer.from(logged, "base64"));
}

/**
 * A promise is judged by its time; a proof states none, and @sigstore/verify takes it from a log that had ended, whose key may be anybody's by now.
 * `times`: when it was signed, as far as that is attested. AttestationError LogEntryInvalid.
 */
export function requireLogsInForce(entries: readonly LogEntry[], logs: TrustMaterial["tlogs"], times: readonly Date[]): void {
  for (const { logId } of entries.filter(({ inclusionPromise }) => inclusionPromise === undefined)) {
    const own = logs.filter(({ logID }) => logID.equals(logId.keyId));
    if (own.some(({ validFor }) => times.every((time) => validFor.start <= time && time <= validFor.end))) continue;
    throw new AttestationError("LogEntryInvalid", "the log that has the entry was not in force when it was signed");
  }
}

function bodyOf(bytes: Uint8Array): Json {
  if (bytes.length > maxBodyBytes) throw new AttestationError("LogEntryInvalid", `the log entry is larger than ${maxBodyBytes / 1024} KiB`);
  try {
    return parseJson(bytes, limits);
  } catch (error) {
    throw new AttestationError("LogEntryInvalid", `the log entry cannot be read: ${(error as Error).message}`);
  }
}

function unsupported(kind: string): AttestationError {
  const known = [...certificates.keys()].join(", ");
  const old =
    kind === "intoto 0.0.1" ? ". It names no signature, so it proves nothing about this one: sign again with cosign 2.2 or newer" : "";
  return new AttestationError("LogEntryUnsupported", `the log entry is ${JSON.stringify(kind.slice(0, 100))}; ${known} are read${old}`);
}

function derOf(bytes: Buffer): Uint8Array {
  const [, body] = /^\s*-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/.exec(bytes.toString("latin1")) ?? [];
  return body === undefined ? bytes : Buffer.from(body, "base64");
}

function at(json: Json | undefined, ...path: readonly string[]): Json | undefined {
  return path.reduce(field, json);
}
