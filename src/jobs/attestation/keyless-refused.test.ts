// What does not count, and how it is called: a good keyless attestation with one thing wrong in it.

import { beforeAll, expect, test } from "vitest";

import {
  asBundle,
  asLayer,
  createKeylessVectors,
  good,
  json,
  publisher,
  wanting,
  type Attached,
  type KeylessVectors,
} from "../../../test/support/keyless-vectors.ts";
import {
  annotationsOf,
  bundleOf,
  entryOf,
  envelopeJson,
  extensions,
  issuer,
  signEnvelope,
  subject,
  withoutPromise,
  type EntryKind,
  type LogEntry,
  type Signed,
} from "../../../test/support/sigstore.ts";
import { digestOf } from "../../domain/digest.ts";
import type { WantedIdentity } from "../../domain/signer-identity.ts";
import type { EvidenceFailure } from "./failure.ts";
import { readTrustAnchors } from "./trust-anchors.ts";

let vectors: KeylessVectors;
beforeAll(async () => {
  vectors = await createKeylessVectors();
});

interface Refused {
  readonly what: string;
  readonly code: EvidenceFailure;
  readonly says?: string;
  readonly make: (vectors: KeylessVectors) => Promise<Signed | Attached>;
  readonly identities?: readonly WantedIdentity[];
}

const { issuerV1, issuerV2, subjects, usages } = extensions;
const codeSigning = "1.3.6.1.5.5.7.3.3";
const serverAuth = "1.3.6.1.5.5.7.3.1";

/** A good signature of which the log keeps something else: `value` at `path` of the entry. */
async function logged(
  { sign, sigstore }: KeylessVectors,
  path: readonly (string | number)[],
  value: unknown,
  kind?: EntryKind,
): Promise<Signed> {
  const signed = await sign();
  const entry = entryOf(kind ?? "dsse 0.0.1", signed.envelope, signed.certificate);
  const at = path.slice(0, -1).reduce((inner, name) => inner[name] as Tree, entry as Tree);
  at[path.at(-1)!] = value;
  return { ...signed, entries: [await sigstore.log(JSON.parse(JSON.stringify(entry)))] };
}
type Tree = Record<string | number, unknown>;

const withEntry = (signed: Signed, change: (entry: LogEntry) => LogEntry): Signed => ({ ...signed, entries: signed.entries.map(change) });

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

const log: readonly Refused[] = [
  {
    what: "no log entry",
    code: "LogEntryMissing",
    make: async ({ sign, sigstore }) => {
      const signed = await sign();
      return { ...signed, entries: [], timestamps: [await sigstore.timestamp(signed.envelope.signature)] };
    },
  },
  {
    what: "a layer without its log entry",
    code: "LogEntryMissing",
    make: async ({ sign, sigstore }) => {
      const signed = await sign();
      return asLayer({ ...signed, entries: [], timestamps: [await sigstore.timestamp(signed.envelope.signature)] });
    },
  },
  {
    what: "an entry of another log",
    code: "LogEntryInvalid",
    make: async ({ sign, stranger }) => {
      const signed = await sign();
      return { ...signed, entries: [await stranger.log(entryOf("dsse 0.0.1", signed.envelope, signed.certificate))] };
    },
  },
  {
    what: "the promise of another entry",
    code: "LogEntryInvalid",
    make: async ({ sign }) => {
      const [entry] = (await sign()).entries;
      return withEntry(await sign(), (own) => ({ ...own, inclusionPromise: entry!.inclusionPromise! }));
    },
  },
  {
    what: "the proof of another entry",
    code: "LogEntryInvalid",
    make: async ({ sign }) => {
      const [entry] = (await sign()).entries;
      return withEntry(await sign(), (own) => ({ ...own, inclusionProof: entry!.inclusionProof! }));
    },
  },
  {
    what: "another index than the promise states",
    code: "LogEntryInvalid",
    make: async ({ sign }) => withEntry(await sign(), (entry) => ({ ...entry, logIndex: "1" })),
  },
  {
    what: "the entry of another signature by the same certificate",
    code: "LogEntryMismatch",
    make: async ({ sign, sigstore }) => {
      const signer = await sigstore.certify();
      const other = await sign({ signer, statement: good({ version: "1.0.0" }) });
      return { ...(await sign({ signer })), entries: other.entries };
    },
  },
  {
    what: "an entry of another payload",
    code: "LogEntryMismatch",
    says: "payload hash",
    make: (vectors) => logged(vectors, ["spec", "payloadHash", "value"], "00".repeat(32)),
  },
  {
    what: "an entry of another certificate",
    code: "LogEntryMismatch",
    says: "another certificate",
    make: async (vectors) => {
      const other = await vectors.sigstore.certify();
      const pem = `-----BEGIN CERTIFICATE-----\n${other.certificate.toString("base64")}\n-----END CERTIFICATE-----\n`;
      return logged(vectors, ["spec", "signatures", 0, "verifier"], Buffer.from(pem).toString("base64"));
    },
  },
  {
    what: "an entry of another certificate, in the newer log",
    code: "LogEntryMismatch",
    says: "another certificate",
    make: async (vectors) => {
      const rawBytes = (await vectors.sigstore.certify()).certificate.toString("base64");
      return logged(
        vectors,
        ["spec", "hashedRekordV002", "signature", "verifier"],
        { x509Certificate: { rawBytes } },
        "hashedrekord 0.0.2",
      );
    },
  },
  {
    what: "an entry of no certificate",
    code: "LogEntryMismatch",
    says: "another certificate",
    make: (vectors) => logged(vectors, ["spec", "signatures", 0, "verifier"], undefined),
  },
  {
    what: "a second entry, of another certificate",
    code: "LogEntryMismatch",
    says: "another certificate",
    make: async (vectors) => {
      const signed = await vectors.sign();
      const other = await vectors.sigstore.certify();
      const second = await vectors.sigstore.log(entryOf("dsse 0.0.1", signed.envelope, other.certificate), 5);
      return { ...signed, entries: [...signed.entries, second] };
    },
  },
  {
    what: "an entry that calls itself something else",
    code: "LogEntryMismatch",
    make: async ({ sign }) => withEntry(await sign(), (entry) => ({ ...entry, kindVersion: { kind: "hashedrekord", version: "0.0.1" } })),
  },
  {
    what: "an entry that names no signature",
    code: "LogEntryUnsupported",
    says: "cosign 2.2 or newer",
    make: ({ sign }) => sign({ kind: "intoto 0.0.1" }),
  },
  {
    what: "the same entry twice",
    code: "LogEntryInvalid",
    says: "duplicate",
    make: async ({ sign, sigstore }) => {
      const signed = await sign();
      const entries = [...signed.entries, ...signed.entries].map(withoutPromise);
      return { ...signed, entries, timestamps: [await sigstore.timestamp(signed.envelope.signature)] };
    },
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

const stranger = "https://github.com/eve/images/.github/workflows/release.yaml@refs/heads/main";
const identity: readonly Refused[] = [
  {
    what: "another subject",
    code: "IdentityMismatch",
    says: `signed by ${stranger} of ${issuer}; spec.verify.keyless names ${subject} of ${issuer}`,
    make: ({ sign }) => sign({ certificate: { subject: subjects({ type: "url", value: stranger }) } }),
  },
  {
    what: "a subject that begins like the one that is wanted",
    code: "IdentityMismatch",
    make: ({ sign }) => sign({ certificate: { subject: subjects({ type: "url", value: `${subject}-2` }) } }),
  },
  {
    what: "the right subject, of another issuer",
    code: "IdentityMismatch",
    make: ({ sign }) => sign({ certificate: { issuers: [issuerV2("https://accounts.example.com")] } }),
  },
  {
    what: "an issuer that begins like the one that is wanted",
    code: "IdentityMismatch",
    make: ({ sign }) => sign({ certificate: { issuers: [issuerV2(`${issuer}/eve`)] } }),
  },
  {
    what: "issuer and subject of two different identities",
    code: "IdentityMismatch",
    identities: [
      { issuer, subject: "someone else" },
      { issuer: "https://accounts.example.com", subject },
    ],
    make: ({ sign }) => sign(),
  },
  {
    what: "two issuers that differ, the newer one right",
    code: "IdentityMismatch",
    says: "several issuers",
    make: ({ sign }) => sign({ certificate: { issuers: [issuerV1("https://accounts.example.com"), issuerV2(issuer)] } }),
  },
  {
    what: "two issuers that differ, the older one right",
    code: "IdentityMismatch",
    says: "several issuers",
    make: ({ sign }) => sign({ certificate: { issuers: [issuerV1(issuer), issuerV2("https://accounts.example.com")] } }),
  },
  { what: "no issuer", code: "IdentityMismatch", says: "no issuer", make: ({ sign }) => sign({ certificate: { issuers: [] } }) },
  {
    what: "two subjects, the first one right",
    code: "IdentityMismatch",
    says: "2 subjects",
    make: ({ sign }) => sign({ certificate: { subject: subjects({ type: "url", value: subject }, { type: "url", value: stranger }) } }),
  },
  {
    what: "a subject of another kind",
    code: "IdentityMismatch",
    says: "of a kind that is not known",
    make: ({ sign }) => sign({ certificate: { subject: subjects({ type: "dns", value: "github.com" }) } }),
  },
  {
    what: "an issuer that is the right one with the eighth bit of a letter set",
    code: "IdentityMismatch",
    says: "not UTF-8",
    make: ({ sign }) => sign({ certificate: { issuers: [issuerV1(nearly(issuer))] } }),
  },
  {
    what: "an expression that fits the beginning of the subject",
    code: "IdentityMismatch",
    identities: [{ issuer, subjectRegExp: "https://github.com/chainguard-images/" }],
    make: ({ sign }) => sign(),
  },
  {
    what: "an expression that fits the end of the subject",
    code: "IdentityMismatch",
    identities: [{ issuer, subjectRegExp: "refs/heads/main" }],
    make: ({ sign }) => sign(),
  },
  {
    what: "an expression of two, of which one fits the beginning",
    code: "IdentityMismatch",
    identities: [{ issuer, subjectRegExp: "https://github.com/|nobody" }],
    make: ({ sign }) => sign(),
  },
  {
    what: "an expression whose issuer is another",
    code: "IdentityMismatch",
    identities: [{ issuer: "https://accounts.example.com", subjectRegExp: ".*" }],
    make: ({ sign }) => sign(),
  },
  { what: "an identity without a subject", code: "IdentityMismatch", identities: [{ issuer }], make: ({ sign }) => sign() },
];

/** The last letter with its eighth bit set. */
function nearly(text: string): Buffer {
  const bytes = Buffer.from(text);
  bytes[bytes.length - 1]! |= 0x80;
  return bytes;
}

const all = [...time, ...certificate, ...log, ...envelope, ...statements, ...identity];

test.each(all)("$what: $code", async ({ code, says, make, identities = [publisher] }) => {
  const made = await make(vectors);
  const attached = "envelope" in made ? asBundle(made) : made;
  const asked = vectors.ask(attached, wanting(vectors.sigstore, ...identities));
  await expect(asked).rejects.toMatchObject({ code, message: expect.stringContaining(says ?? "") });
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

test("neither a proof nor a promise of a log counts from outside its period", async () => {
  const { sigstore, stranger } = vectors;
  const [root, other] = [sigstore, stranger].map(({ trustedRoot }) => JSON.parse(trustedRoot) as { tlogs: { publicKey: object }[] });
  const during = (validFor: object) => {
    const tlogs = [...root!.tlogs.map((log) => ({ ...log, publicKey: { ...log.publicKey, validFor } })), ...other!.tlogs];
    return wanting({ ...sigstore, trustedRoot: JSON.stringify({ ...root, tlogs }) }, publisher);
  };
  const made = await vectors.sign();
  const proved = { ...withEntry(made, withoutPromise), timestamps: [await sigstore.timestamp(made.envelope.signature)] };
  const ended = during({ start: "2020-01-01T00:00:00Z", end: "2025-01-01T00:00:00Z" });
  const refused = { code: "LogEntryInvalid", message: expect.stringContaining("not in force") };
  await expect(vectors.ask(asBundle(proved), ended)).rejects.toMatchObject(refused);
  await expect(vectors.ask(asBundle(proved), during({ start: "2999-01-01T00:00:00Z" }))).rejects.toMatchObject(refused);
  const soon = new Date(Date.now() + 3_600_000).toISOString();
  await expect(vectors.ask(asBundle(proved), during({ start: "2020-01-01T00:00:00Z", end: soon }))).resolves.toBeDefined();
  await expect(vectors.ask(asBundle(made), ended)).rejects.toMatchObject({ code: "LogEntryInvalid" });
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

test("a key and an identity: either is enough, and neither lends itself to the other", async () => {
  const signed = await vectors.sign();
  const { signers } = wanting(vectors.sigstore, { issuer, subject: "nobody" });
  if (signers === "Unverified") throw new Error("verified");
  await expect(vectors.ask(asBundle(signed), { signers })).rejects.toMatchObject({ code: "IdentityMismatch" });
  await expect(vectors.ask(asBundle(signed), { signers: "Unverified" })).resolves.toMatchObject({ version: "1.27.3-r2" });
});

test("code signing among other uses is enough", async () => {
  const signed = await vectors.sign({ certificate: { usage: [usages(serverAuth, codeSigning)] } });
  await expect(vectors.ask(asBundle(signed))).resolves.toMatchObject({ version: "1.27.3-r2" });
});
