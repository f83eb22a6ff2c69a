// What does not count, and how it is called: a good keyless attestation with one thing wrong in it. Entries of the log: keyless-refused-logs.test.ts; who
// signed: keyless-refused-identities.test.ts.

import { beforeAll, expect, test } from "vitest";

import { failureOf, judged, withEntry, type Refused } from "../../../test/support/keyless-refusals.ts";
import {
  asBundle,
  asLayer,
  createKeylessVectors,
  good,
  json,
  publisher,
  wanting,
  type KeylessVectors,
} from "../../../test/support/keyless-vectors.ts";
import {
  annotationsOf,
  bundleOf,
  entryOf,
  envelopeJson,
  extensions,
  signEnvelope,
  withoutPromise,
  type Signed,
} from "../../../test/support/sigstore.ts";
import { digestOf } from "../../domain/digest.ts";
import type { EvidenceFailure } from "./failure.ts";
import { readTrustAnchors } from "./trust-anchors.ts";

let vectors: KeylessVectors;
beforeAll(async () => {
  vectors = await createKeylessVectors();
});

const { usages } = extensions;
const codeSigning = "1.3.6.1.5.5.7.3.3";
const serverAuth = "1.3.6.1.5.5.7.3.1";

const time: readonly Refused[] = [
  {
    what: "an inclusion proof without a promise, and no timestamp",
    code: "SignedTimeMissing",
    says: "neither a timestamp nor a log's promise",
    make: async ({ sign }) => withEntry(await sign(), withoutPromise),
  },
  {
    what: "a time beside the entry that no promise covers",
    code: "SignedTimeMissing",
    make: async ({ sign }) => withEntry(await sign(), (entry) => ({ ...entry, inclusionPromise: undefined })),
  },
  {
    what: "a timestamp of another authority",
    code: "SignedTimeInvalid",
    make: async ({ sign, stranger }) => {
      const signed = await sign();
      return { ...signed, timestamps: [await stranger.timestamp(signed.envelope.signature)] };
    },
  },
  {
    what: "a timestamp of another signature",
    code: "SignedTimeInvalid",
    make: async ({ sign, sigstore }) => ({ ...(await sign()), timestamps: [await sigstore.timestamp(Buffer.from("another signature"))] }),
  },
  {
    what: "the same timestamp twice",
    code: "SignedTimeInvalid",
    make: async ({ sign, sigstore }) => {
      const signed = await sign();
      const timestamp = await sigstore.timestamp(signed.envelope.signature);
      return { ...signed, timestamps: [timestamp, timestamp] };
    },
  },
  {
    what: "another time than the promise states",
    code: "LogEntryInvalid",
    make: async ({ sign }) => withEntry(await sign(), (entry) => ({ ...entry, integratedTime: String(Number(entry.integratedTime) + 1) })),
  },
  {
    what: "a log entry from after the certificate's time",
    code: "CertificateExpired",
    says: "in force from",
    make: ({ sign }) => sign({ after: 3_600 }),
  },
  {
    what: "a timestamp from after the certificate's time, beside a log entry within it",
    code: "CertificateExpired",
    make: async ({ sign, sigstore }) => {
      const signed = await sign();
      return { ...signed, timestamps: [await sigstore.timestamp(signed.envelope.signature, 3_600)] };
    },
  },
];

const certificate: readonly Refused[] = [
  {
    what: "a certificate of another authority",
    code: "CertificateUntrusted",
    make: async ({ sign, stranger }) => sign({ signer: await stranger.certify() }),
  },
  {
    what: "a certificate for servers",
    code: "CertificateUsageMismatch",
    says: serverAuth,
    make: ({ sign }) => sign({ certificate: { usage: [usages(serverAuth)] } }),
  },
  { what: "a certificate for nothing", code: "CertificateUsageMismatch", make: ({ sign }) => sign({ certificate: { usage: [] } }) },
  { what: "no SCT", code: "CertificateNotLogged", make: ({ sign }) => sign({ certificate: { loggedBy: "nobody" } }) },
  {
    what: "an SCT of another certificate log",
    code: "CertificateNotLogged",
    make: ({ sign, stranger }) => sign({ certificate: { loggedBy: stranger } }),
  },
  {
    what: "a bundle of a key",
    code: "CertificateMissing",
    says: "spec.verify.keys",
    make: async ({ sign }) => {
      const bundle = bundleOf(await sign(), "0.3") as { verificationMaterial: Record<string, unknown> };
      const material = { ...bundle.verificationMaterial, certificate: undefined, publicKey: { hint: "key" } };
      return { referrers: [{ bytes: json({ ...bundle, verificationMaterial: material }) }] };
    },
  },
  {
    what: "a layer without annotations",
    code: "CertificateMissing",
    make: async ({ sign }) => ({ tag: [{ bytes: json(envelopeJson((await sign()).envelope)) }] }),
  },
];

const envelope: readonly Refused[] = [
  {
    what: "two signatures",
    code: "EnvelopeInvalid",
    says: "2 signatures",
    make: async ({ sign }) => {
      const bundle = bundleOf(await sign(), "0.3") as { dsseEnvelope: { signatures: object[] } };
      const signatures = [...bundle.dsseEnvelope.signatures, ...bundle.dsseEnvelope.signatures];
      return { referrers: [{ bytes: json({ ...bundle, dsseEnvelope: { ...bundle.dsseEnvelope, signatures } }) }] };
    },
  },
  {
    what: "a signature by another key than the certificate's",
    code: "SignatureInvalid",
    make: async ({ sign, sigstore }) => {
      const [own, other] = [await sigstore.certify(), await sigstore.certify()];
      return sign({ signer: { key: other.key, certificate: own.certificate } });
    },
  },
  {
    what: "a payload that was changed after signing, and logged so",
    code: "SignatureInvalid",
    make: async ({ sigstore }) => {
      const { key, certificate } = await sigstore.certify();
      const { signature } = signEnvelope(JSON.stringify(good({ version: "1.0.0" })), key);
      const changed = { ...signEnvelope(JSON.stringify(good()), key), signature };
      return { envelope: changed, certificate, entries: [await sigstore.log(entryOf("dsse 0.0.1", changed, certificate))], timestamps: [] };
    },
  },
  {
    what: "a signature over the payload alone, without its type",
    code: "SignatureInvalid",
    make: async ({ sign }) => {
      const signed = await sign({ payloadType: "application/vnd.in-toto+jso" });
      const relabelled = { ...signed.envelope, payloadType: "application/vnd.in-toto+json" };
      return { ...signed, envelope: relabelled };
    },
  },
  { what: "a payload of another type", code: "PayloadTypeMismatch", make: ({ sign }) => sign({ payloadType: "text/plain" }) },
  {
    what: "signed bytes that are not there",
    code: "EnvelopeInvalid",
    make: async ({ sign }) => {
      const bundle = { ...bundleOf(await sign(), "0.3"), dsseEnvelope: undefined };
      const messageSignature = { messageDigest: { algorithm: "SHA2_256", digest: "AA==" }, signature: "AA==" };
      return { referrers: [{ bytes: json({ ...bundle, messageSignature }) }] };
    },
  },
];

const statements: readonly Refused[] = [
  {
    what: "a statement about another image",
    code: "SubjectMismatch",
    make: ({ sign }) => sign({ statement: good({ digest: digestOf("another image") }) }),
  },
  {
    what: "another predicate",
    code: "PredicateTypeMismatch",
    make: ({ sign }) => sign({ statement: good({ predicateType: "https://slsa.dev/provenance/v0.2" }) }),
  },
  {
    what: "a predicate whose name begins like the one that is wanted",
    code: "PredicateTypeMismatch",
    make: ({ sign }) => sign({ statement: good({ predicateType: "https://slsa.dev/provenance/v1.1" }) }),
  },
];

test.each([...time, ...certificate, ...envelope, ...statements])("$what: $code", async (refused) => {
  await expect(judged(vectors, refused)).rejects.toMatchObject(failureOf(refused));
});

test("a layer of the .att tag is judged like a bundle", async () => {
  const { sign, sigstore } = vectors;
  const refusals: [EvidenceFailure, Promise<Signed>][] = [
    ["CertificateExpired", sign({ after: 3_600 })],
    ["CertificateUsageMismatch", sign({ certificate: { usage: [] } })],
    ["CertificateNotLogged", sign({ certificate: { loggedBy: "nobody" } })],
    ["LogEntryMismatch", sign().then(async (signed) => ({ ...signed, entries: (await sign()).entries }))],
    ["LogEntryUnsupported", sign({ kind: "intoto 0.0.1" })],
    ["SubjectMismatch", sign({ statement: good({ digest: digestOf("another image") }) })],
    ["IdentityMismatch", sign({ certificate: { issuers: [] } })],
  ];
  for (const [code, signed] of refusals) {
    await expect(vectors.ask(asLayer(await signed), wanting(sigstore, publisher))).rejects.toMatchObject({ code });
  }
  const signed = await sign();
  const annotations = { ...annotationsOf(signed), "dev.sigstore.cosign/certificate": "-----BEGIN CERTIFICATE-----\n!\n" };
  await expect(vectors.ask({ tag: [{ bytes: json(envelopeJson(signed.envelope)), annotations }] })).rejects.toMatchObject({
    code: "BundleInvalid",
  });
});

test("the failure of what came furthest is the one that is told", async () => {
  const early = await vectors.sign({ certificate: { loggedBy: "nobody" } });
  const late = await vectors.sign({ certificate: { issuers: [] } });
  const referrers = [...asBundle(early).referrers!, ...asBundle(late).referrers!];
  await expect(vectors.ask({ referrers })).rejects.toMatchObject({ code: "IdentityMismatch" });
});

test("a manifest that is about another image is not attached to this one, whatever a list says", async () => {
  const [referrer] = asBundle(await vectors.sign()).referrers!;
  const subject = digestOf("another image");
  await expect(vectors.ask({ referrers: [{ ...referrer!, subject }] })).rejects.toMatchObject({ code: "SignatureMissing" });
});

test("a trusted root that cannot be used, or is out of date", () => {
  const root = JSON.parse(vectors.sigstore.trustedRoot) as { certificateAuthorities: { validFor: { end?: string } }[] };
  const read = (value: unknown) => () => readTrustAnchors(typeof value === "string" ? value : JSON.stringify(value), new Date());
  expect(read(vectors.sigstore.trustedRoot)).not.toThrow();
  for (const unusable of [
    "",
    "{",
    "{}",
    { ...root, certificateAuthorities: [] },
    { ...root, tlogs: [{ publicKey: { rawBytes: "AA==" } }] },
  ]) {
    expect(read(unusable)).toThrow(
      expect.objectContaining({ code: "TrustedRootInvalid", message: expect.stringContaining("spec.verify.trustedRoot") }),
    );
  }
  for (const authority of root.certificateAuthorities) authority.validFor.end = "2026-01-01T00:00:00Z";
  expect(read(root)).toThrow(expect.objectContaining({ code: "TrustedRootExpired", message: expect.stringContaining("2026-01-01") }));
});

test("code signing among other uses is enough", async () => {
  const signed = await vectors.sign({ certificate: { usage: [usages(serverAuth, codeSigning)] } });
  await expect(vectors.ask(asBundle(signed))).resolves.toMatchObject({ version: "1.27.3-r2" });
});
