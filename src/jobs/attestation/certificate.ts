// What a Fulcio certificate says of its holder (fulcio docs/oid-info.md, docs/certificate-specification.md). Read only after its chain is verified.

import type { ASN1Obj, X509Certificate } from "@sigstore/core";

import type { SignerIdentity } from "../../domain/signer-identity.ts";
import { AttestationError } from "./failure.ts";

const oids = {
  subjectAltName: "2.5.29.17",
  extendedKeyUsage: "2.5.29.37",
  codeSigning: "1.3.6.1.5.5.7.3.3",
  /** The bytes of the text as they are. */
  issuerV1: "1.3.6.1.4.1.57264.1.1",
  /** A DER UTF8String. */
  issuerV2: "1.3.6.1.4.1.57264.1.8",
  otherName: "1.3.6.1.4.1.57264.1.7",
} as const;

const utf8String = 0x0c;
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** AttestationError CertificateUsageMismatch: an authority may issue certificates for other things than signing, too. */
export function requireCodeSigning(certificate: X509Certificate): void {
  const [usage] = valuesOf(certificate, oids.extendedKeyUsage);
  const purposes = usage?.subs[0]?.subs.map((purpose) => purpose.toOID()) ?? [];
  if (purposes.includes(oids.codeSigning)) return;
  throw new AttestationError(
    "CertificateUsageMismatch",
    `the certificate is for ${purposes.slice(0, 5).join(", ") || "no stated use"}, not for signing code (${oids.codeSigning})`,
  );
}

/** Whom the certificate names. AttestationError IdentityMismatch for one that names nobody, or several. */
export function identityOf(certificate: X509Certificate): SignerIdentity {
  return { issuer: issuerOf(certificate), subject: subjectOf(certificate) };
}

/** Both extensions say the same where both are there: older readers look at the one, newer ones at the other. */
function issuerOf(certificate: X509Certificate): string {
  const first = valuesOf(certificate, oids.issuerV1).map(({ value }) => textOf(value));
  const second = valuesOf(certificate, oids.issuerV2).map(({ subs: [text] }) =>
    text?.tag.isUniversal() === true && text.tag.number === utf8String ? textOf(text.value) : refuse("an issuer that cannot be read"),
  );
  const [issuer, ...others] = new Set([...first, ...second]);
  if (issuer === undefined) return refuse("no issuer (extensions 1.3.6.1.4.1.57264.1.1 and .1.8)");
  return others.length === 0 ? issuer : refuse(`several issuers: ${[issuer, ...others].map(quoted).join(", ")}`);
}

/** A URI (a workflow), an email address (a person), or Fulcio's own name of a user. */
function subjectOf(certificate: X509Certificate): string {
  const names = valuesOf(certificate, oids.subjectAltName).flatMap((value) => value.subs[0]?.subs ?? []);
  const [name] = names;
  if (name === undefined || names.length > 1) return refuse(`${names.length === 0 ? "no" : names.length} subjects, where one is expected`);
  if (name.tag.isContextSpecific(1) || name.tag.isContextSpecific(6)) return textOf(name.value);
  const [type, wrapped] = name.subs;
  const user = wrapped?.subs[0];
  if (name.tag.isContextSpecific(0) && type?.tag.isOID() === true && type.toOID() === oids.otherName && user !== undefined) {
    return textOf(user.value);
  }
  return refuse("a subject of a kind that is not known");
}

function valuesOf(certificate: X509Certificate, oid: string): ASN1Obj[] {
  const extensions = certificate.extensions.filter(({ subs: [type] }) => type?.tag.isOID() === true && type.toOID() === oid);
  return extensions.flatMap(({ subs }) => subs.at(-1) ?? []);
}

/** @sigstore/core takes such texts for ASCII and drops the eighth bit, which makes other names of some. */
function textOf(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    return refuse("a name that is not UTF-8");
  }
}

function refuse(what: string): never {
  throw new AttestationError("IdentityMismatch", `the certificate names ${what}`);
}

function quoted(value: string): string {
  return JSON.stringify(value.slice(0, 200));
}
