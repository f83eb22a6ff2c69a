// A Sigstore trusted root (`trusted_root.json`): which authorities issue certificates, and which logs and timestamps are believed. Here it is only
// judged whether it can be used at all, so that a person is told at the resource; evidence is verified against it in `src/jobs/attestation`.
// Form: https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_trustroot.proto, in its JSON.

import { createPublicKey, X509Certificate } from "node:crypto";

/** In the ConfigMap. */
export const trustedRootKey = "trusted_root.json";
/** As for every key that resources name (operator.md, "Upstream"). The public-good root has 7 KiB. */
export const maxTrustedRootBytes = 64 * 1024;

export interface TrustedRoot {
  /** Milliseconds since 1970: from then on nothing that is signed can be verified with it; Infinity where it names no end. */
  readonly usableUntil: number;
  /** Whose period is over then. */
  readonly ends: string;
}

type Fields = Readonly<Record<string, unknown>>;

/** What is wrong with it is the end of a sentence: the caller says where it lies. Never throws. */
export function readTrustedRoot(text: string): TrustedRoot | { readonly problem: string } {
  try {
    const root = parse(text);
    const authorities = listOf(root, "certificateAuthorities");
    const logs = listOf(root, "tlogs");
    const certificateLogs = listOf(root, "ctlogs");
    const clocks = listOf(root, "timestampAuthorities");
    if (authorities.length === 0) throw new Unusable("names no certificate authority (certificateAuthorities)");
    if (logs.length === 0) throw new Unusable("names no signature log (tlogs), and what is in none does not count");
    if (certificateLogs.length === 0)
      throw new Unusable("names no certificate log (ctlogs), and a certificate that is in none does not count");
    clocks.forEach((clock, index) => readChain(clock, `timestampAuthorities[${index}]`));
    const needed = [
      {
        ends: "certificate authority",
        usableUntil: lastEnd(authorities.map((one, index) => readChain(one, `certificateAuthorities[${index}]`))),
      },
      { ends: "signature log", usableUntil: lastEnd(logs.map((one, index) => readKey(one, `tlogs[${index}]`))) },
      { ends: "certificate log", usableUntil: lastEnd(certificateLogs.map((one, index) => readKey(one, `ctlogs[${index}]`))) },
    ];
    return needed.reduce((first, next) => (next.usableUntil < first.usableUntil ? next : first));
  } catch (error) {
    if (error instanceof Unusable) return { problem: error.message };
    throw error;
  }
}

class Unusable extends Error {}

function parse(text: string): Fields {
  if (text.trim() === "") throw new Unusable("is empty");
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    // `gh attestation trusted-root` writes them so.
    const lines = text.trim().split("\n");
    throw new Unusable(
      lines.length > 1 && lines.every((line) => /^\s*\{.*\}\s*$/.test(line))
        ? `holds ${lines.length} roots, one a line: put one of them there`
        : "is not JSON",
    );
  }
  const root = fieldsOf(parsed, "it");
  const { mediaType } = root;
  if (typeof mediaType !== "string" || !/^application\/vnd\.dev\.sigstore\.trustedroot[.+]/.test(mediaType)) {
    throw new Unusable(
      "is no Sigstore trusted root (its mediaType is not application/vnd.dev.sigstore.trustedroot+json;version=0.1 or a newer one)",
    );
  }
  return root;
}

/** `certChain.certificates[].rawBytes`: DER in base64. Answers the end of its period. */
function readChain(authority: Fields, path: string): number {
  const chain = fieldsOf(authority["certChain"], `${path}.certChain`);
  const certificates = listOf(chain, "certificates", path);
  if (certificates.length === 0) throw new Unusable(`has no certificate in ${path}`);
  certificates.forEach((certificate, index) => {
    const place = `${path}.certChain.certificates[${index}]`;
    const bytes = bytesOf(certificate["rawBytes"], place);
    readOr(place, "certificate", () => new X509Certificate(bytes));
  });
  return endOf(authority["validFor"], path);
}

/** `publicKey.rawBytes`: DER in base64, a SubjectPublicKeyInfo or (old RSA keys) a PKCS #1 key. Answers the end of its period. */
function readKey(log: Fields, path: string): number {
  const key = fieldsOf(log["publicKey"], `${path}.publicKey`);
  const bytes = bytesOf(key["rawBytes"], `${path}.publicKey`);
  const type = key["keyDetails"] === "PKCS1_RSA_PKCS1V5" ? "pkcs1" : "spki";
  readOr(`${path}.publicKey`, "public key", () => createPublicKey({ key: bytes, format: "der", type }));
  return endOf(key["validFor"], `${path}.publicKey`);
}

const lastEnd = (ends: readonly number[]): number => ends.reduce((last, end) => Math.max(last, end), -Infinity);

function endOf(period: unknown, path: string): number {
  if (period === undefined) return Infinity;
  const { end } = fieldsOf(period, `${path}.validFor`);
  if (end === undefined) return Infinity;
  const time = typeof end === "string" ? Date.parse(end) : NaN;
  if (Number.isNaN(time)) throw new Unusable(`has no time in ${path}.validFor.end`);
  return time;
}

function bytesOf(value: unknown, path: string): Buffer {
  if (typeof value !== "string" || value === "") throw new Unusable(`has no rawBytes in ${path}`);
  return Buffer.from(value, "base64");
}

function readOr(path: string, what: string, read: () => unknown): void {
  try {
    read();
  } catch {
    throw new Unusable(`has no ${what} that can be read in ${path}`);
  }
}

function listOf(fields: Fields, name: string, path?: string): readonly Fields[] {
  const value = fields[name] ?? [];
  const place = path === undefined ? name : `${path}.${name}`;
  if (!Array.isArray(value)) throw new Unusable(`has no list in ${place}`);
  return value.map((entry, index) => fieldsOf(entry, `${place}[${index}]`));
}

function fieldsOf(value: unknown, path: string): Fields {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Fields;
  throw new Unusable(path === "it" ? "is no JSON object" : `has no object in ${path}`);
}
