// Keyless signing offline: an authority, a certificate log, a signature log and a clock that are real in all but their fame (@sigstore/mock), and what a
// signer makes with them. Each part of a signature can be made wrong on its own.

import { createHash, generateKeyPairSync, sign, webcrypto, type KeyObject } from "node:crypto";

import { initializeCA, initializeCTLog, initializeTLog, initializeTSA } from "@sigstore/mock";
// Behind the mock: it brings the polyfill that this one wants to find.
import * as x509 from "@peculiar/x509";

import { mediaTypes } from "../../src/domain/media-types.ts";
import { preAuthenticationEncoding } from "../../src/jobs/attestation/envelope.ts";

export const issuer = "https://token.actions.githubusercontent.com";
export const subject = "https://github.com/chainguard-images/images/.github/workflows/release.yaml@refs/heads/main";

export const extensions = {
  issuerV1: (text: string | Buffer): x509.Extension => new x509.Extension("1.3.6.1.4.1.57264.1.1", false, Buffer.from(text)),
  issuerV2: (text: string): x509.Extension =>
    new x509.Extension("1.3.6.1.4.1.57264.1.8", false, Buffer.concat([Buffer.from([0x0c, Buffer.byteLength(text)]), Buffer.from(text)])),
  subjects: (...names: x509.JsonGeneralNames): x509.Extension => new x509.SubjectAlternativeNameExtension(names, true),
  usages: (...usages: string[]): x509.Extension => new x509.ExtendedKeyUsageExtension(usages),
};

export interface CertificateWishes {
  readonly issuers?: readonly x509.Extension[];
  readonly subject?: x509.Extension;
  readonly usage?: readonly x509.Extension[];
  /** Which log states that it has it; default: the one of this world. */
  readonly loggedBy?: "nobody" | Sigstore;
}

export type EntryKind = "dsse 0.0.1" | "dsse 0.0.2" | "intoto 0.0.1" | "intoto 0.0.2" | "hashedrekord 0.0.1" | "hashedrekord 0.0.2";

export interface Signer {
  readonly key: KeyObject;
  readonly certificate: Buffer;
}

export interface Envelope {
  readonly payload: Buffer;
  readonly payloadType: string;
  readonly signature: Buffer;
}

/** As bundles have it. */
export interface LogEntry {
  readonly logIndex: string;
  readonly logId: { readonly keyId: string };
  readonly kindVersion: { readonly kind: string; readonly version: string };
  readonly integratedTime: string;
  readonly inclusionPromise?: { readonly signedEntryTimestamp: string } | undefined;
  readonly inclusionProof?: object;
  readonly canonicalizedBody: string;
}

/** The parts of one signature. */
export interface Signed {
  readonly envelope: Envelope;
  readonly certificate: Buffer;
  readonly entries: readonly LogEntry[];
  /** DER of RFC 3161 responses. */
  readonly timestamps: readonly Buffer[];
}

export interface Sigstore {
  /** trusted_root.json */
  readonly trustedRoot: string;
  /** A key and a certificate for it, good for ten minutes. */
  certify(wishes?: CertificateWishes): Promise<Signer>;
  /** `entry` as the log keeps it. `after`: seconds from now. */
  log(entry: object, after?: number): Promise<LogEntry>;
  timestamp(signature: Buffer, after?: number): Promise<Buffer>;
  readonly ctLog: Awaited<ReturnType<typeof initializeCTLog>>;
}

interface RekorAnswer {
  readonly body: string;
  readonly integratedTime: number;
  readonly logID: string;
  readonly logIndex: number;
  readonly verification: {
    readonly signedEntryTimestamp: string;
    readonly inclusionProof: {
      readonly logIndex: number;
      readonly treeSize: number;
      readonly rootHash: string;
      readonly checkpoint: string;
    };
  };
}

const ec = (namedCurve: string) => generateKeyPairSync("ec", { namedCurve });
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes);
const later = (seconds: number) => new Date(Date.now() + seconds * 1_000);
// As the public clocks state it. @sigstore/core reads none or three digits of a fraction, and DER drops the zeros at its end.
const wholeSecond = (time: Date) => new Date(Math.floor(time.getTime() / 1_000) * 1_000);
const ecdsa = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-384" };
const logUrl = "https://rekor.sigstore.mock";

export async function createSigstore(): Promise<Sigstore> {
  const keys = { ca: ec("P-256"), ctLog: ec("P-256"), log: ec("P-256"), clock: ec("P-256") };
  const ctLog = await initializeCTLog(keys.ctLog);
  const ca = await initializeCA(keys.ca, ctLog);
  const clock = await initializeTSA(keys.clock);
  const signingKey = await cryptoKey(keys.ca.privateKey, ["sign"]);
  const caKey = await cryptoKey(keys.ca.publicKey, ["verify"]);

  return {
    ctLog,
    trustedRoot: JSON.stringify({
      mediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
      tlogs: [logOf(logUrl, spki(keys.log.publicKey))],
      ctlogs: [logOf("https://ctfe.sigstore.mock", spki(keys.ctLog.publicKey))],
      certificateAuthorities: [authorityOf(ca.rootCertificate)],
      timestampAuthorities: [authorityOf(clock.intCertificate, clock.rootCertificate)],
    }),
    async certify({ issuers, subject: name, usage, loggedBy } = {}) {
      const { publicKey, privateKey } = ec("P-256");
      const holder = await cryptoKey(publicKey, ["verify"]);
      const all = [
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        ...(usage ?? [extensions.usages(x509.ExtendedKeyUsage.codeSigning)]),
        name ?? extensions.subjects({ type: "url", value: subject }),
        await x509.SubjectKeyIdentifierExtension.create(holder),
        await x509.AuthorityKeyIdentifierExtension.create(caKey),
        ...(issuers ?? [extensions.issuerV1(issuer), extensions.issuerV2(issuer)]),
      ];
      const wanted = {
        serialNumber: "01",
        notBefore: later(0),
        notAfter: later(600),
        issuer: "CN=sigstore,O=sigstore.mock",
        publicKey: holder,
        signingAlgorithm: ecdsa,
        signingKey,
      };
      const create = (with_: x509.Extension[]) => x509.X509CertificateGenerator.create({ ...wanted, extensions: with_ });
      const issue = async () => {
        if (loggedBy === "nobody") return create(all);
        const before = await create(all);
        const issuerId = sha256(spki(keys.ca.publicKey)).digest();
        const sct = Buffer.from(await (loggedBy?.ctLog ?? ctLog).log(before.rawData, new Uint8Array(issuerId).buffer));
        return create([...all, new x509.Extension("1.3.6.1.4.1.11129.2.4.2", false, sctList(sct))]);
      };
      return { key: privateKey, certificate: Buffer.from((await issue()).rawData) };
    },
    async log(entry, after = 0) {
      const log = await initializeTLog(logUrl, keys.log, later(after));
      const [logged] = Object.values(await log.log(entry)) as RekorAnswer[];
      if (logged === undefined) throw new Error("the log did not answer");
      const { inclusionProof: proof, signedEntryTimestamp } = logged.verification;
      const { kind, apiVersion } = entry as { kind: string; apiVersion: string };
      return {
        logIndex: String(logged.logIndex),
        logId: { keyId: Buffer.from(logged.logID, "hex").toString("base64") },
        kindVersion: { kind, version: apiVersion },
        integratedTime: String(logged.integratedTime),
        inclusionPromise: { signedEntryTimestamp },
        inclusionProof: {
          logIndex: String(proof.logIndex),
          treeSize: String(proof.treeSize),
          rootHash: Buffer.from(proof.rootHash, "hex").toString("base64"),
          hashes: [],
          checkpoint: { envelope: proof.checkpoint },
        },
        canonicalizedBody: logged.body,
      };
    },
    async timestamp(signature, after = 0) {
      const authority = await initializeTSA(keys.clock, wholeSecond(later(after)));
      const request = {
        artifactHash: sha256(signature).digest(),
        hashAlgorithmOID: "2.16.840.1.101.3.4.2.1",
        nonce: 1,
        policyOID: "1.2.3.4.1",
      };
      return Buffer.from((await authority.timestamp(request)) as Buffer);
    },
  };
}

export function signEnvelope(payload: string | Buffer, key: KeyObject, payloadType: string = mediaTypes.inToto): Envelope {
  const bytes = Buffer.from(payload);
  return { payload: bytes, payloadType, signature: sign("sha256", preAuthenticationEncoding({ payloadType, payload: bytes }), key) };
}

/** What a client sends to the log. */
export function entryOf(kind: EntryKind, { payload, payloadType, signature }: Envelope, certificate: Buffer): object {
  const [name, apiVersion] = kind.split(" ");
  const pem = Buffer.from(pemOf(certificate)).toString("base64");
  const sig = signature.toString("base64");
  const payloadHash = { algorithm: "sha256", value: sha256(payload).digest("hex") };
  const signed = sha256(preAuthenticationEncoding({ payloadType, payload }));
  const verifier = { x509Certificate: { rawBytes: certificate.toString("base64") }, keyDetails: "PKIX_ECDSA_P256_SHA_256" };
  const specs: Record<EntryKind, () => object> = {
    "dsse 0.0.1": () => ({ payloadHash, signatures: [{ signature: sig, verifier: pem }] }),
    "dsse 0.0.2": () => ({
      dsseV002: {
        payloadHash: { algorithm: "SHA2_256", digest: Buffer.from(payloadHash.value, "hex").toString("base64") },
        signatures: [{ content: sig, verifier }],
      },
    }),
    "intoto 0.0.1": () => ({ content: { hash: payloadHash, payloadHash }, publicKey: pem }),
    "intoto 0.0.2": () => ({
      content: { envelope: { payloadType, signatures: [{ publicKey: pem, sig: Buffer.from(sig).toString("base64") }] }, payloadHash },
    }),
    "hashedrekord 0.0.1": () => ({
      data: { hash: { algorithm: "sha256", value: signed.digest("hex") } },
      signature: { content: sig, publicKey: { content: pem } },
    }),
    "hashedrekord 0.0.2": () => ({
      hashedRekordV002: { data: { algorithm: "SHA2_256", digest: signed.digest("base64") }, signature: { content: sig, verifier } },
    }),
  };
  return { apiVersion, kind: name, spec: specs[kind]() };
}

/** As the newer log answers: no promise, no time. */
export function withoutPromise(entry: LogEntry): LogEntry {
  return { ...entry, inclusionPromise: undefined, integratedTime: "0" };
}

/** A Sigstore bundle, as JSON. */
export function bundleOf({ envelope, certificate, entries, timestamps }: Signed, version: "0.1" | "0.2" | "0.3"): Record<string, unknown> {
  const rawBytes = certificate.toString("base64");
  return {
    mediaType: version === "0.3" ? mediaTypes.sigstoreBundle : `application/vnd.dev.sigstore.bundle+json;version=${version}`,
    dsseEnvelope: envelopeJson(envelope),
    verificationMaterial: {
      ...(version === "0.3" ? { certificate: { rawBytes } } : { x509CertificateChain: { certificates: [{ rawBytes }] } }),
      tlogEntries: entries,
      timestampVerificationData: { rfc3161Timestamps: timestamps.map((der) => ({ signedTimestamp: der.toString("base64") })) },
    },
  };
}

export function envelopeJson({ payload, payloadType, signature }: Envelope): Record<string, unknown> {
  return { payloadType, payload: payload.toString("base64"), signatures: [{ keyid: "", sig: signature.toString("base64") }] };
}

/** The annotations of a layer of a `.att` tag, as cosign writes them. */
export function annotationsOf({ certificate, entries, timestamps }: Signed): Record<string, string> {
  const [entry] = entries;
  const [timestamp] = timestamps;
  const payload = entry && {
    body: entry.canonicalizedBody,
    integratedTime: Number(entry.integratedTime),
    logIndex: Number(entry.logIndex),
    logID: Buffer.from(entry.logId.keyId, "base64").toString("hex"),
  };
  const bundle = { SignedEntryTimestamp: entry?.inclusionPromise?.signedEntryTimestamp, Payload: payload };
  return {
    "dev.cosignproject.cosign/signature": "",
    "dev.sigstore.cosign/certificate": pemOf(certificate),
    "dev.sigstore.cosign/chain": pemOf(certificate),
    ...(entry === undefined ? {} : { "dev.sigstore.cosign/bundle": JSON.stringify(bundle) }),
    ...(timestamp === undefined
      ? {}
      : { "dev.sigstore.cosign/rfc3161timestamp": JSON.stringify({ SignedRFC3161Timestamp: timestamp.toString("base64") }) }),
  };
}

function logOf(baseUrl: string, key: Buffer): object {
  return {
    baseUrl,
    hashAlgorithm: "SHA2_256",
    publicKey: { rawBytes: key.toString("base64"), keyDetails: "PKIX_ECDSA_P256_SHA_256", validFor: { start: "2020-01-01T00:00:00Z" } },
    logId: { keyId: sha256(key).digest("base64") },
  };
}

function authorityOf(...chain: readonly ArrayBufferView[]): object {
  const certificates = chain.map(({ buffer, byteOffset, byteLength }) => ({
    rawBytes: Buffer.from(buffer, byteOffset, byteLength).toString("base64"),
  }));
  return { subject: { organization: "sigstore.mock" }, certChain: { certificates }, validFor: { start: "2020-01-01T00:00:00Z" } };
}

/** RFC 6962, 3.3: a list of one, in an OCTET STRING. */
function sctList(sct: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0x04, sct.length + 2, 0, sct.length]), sct]);
}

function pemOf(der: Buffer): string {
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return ["-----BEGIN CERTIFICATE-----", ...lines, "-----END CERTIFICATE-----", ""].join("\n");
}

function spki(key: KeyObject): Buffer {
  return key.export({ type: "spki", format: "der" });
}

function cryptoKey(key: KeyObject, usages: webcrypto.KeyUsage[]): Promise<webcrypto.CryptoKey> {
  const der = key.type === "public" ? spki(key) : key.export({ type: "pkcs8", format: "der" });
  return webcrypto.subtle.importKey(key.type === "public" ? "spki" : "pkcs8", der, ecdsa, true, usages);
}
