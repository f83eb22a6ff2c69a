// What counts: keyless attestations in every form that publishers use, and bundles that really exist.

import { readFileSync } from "node:fs";

import { beforeAll, expect, test } from "vitest";

import {
  asBundle,
  asLayer,
  createKeylessVectors,
  good,
  image,
  json,
  publisher,
  wanting,
  type Attached,
  type KeylessVectors,
} from "../../../test/support/keyless-vectors.ts";
import { bundleOf, extensions, issuer, subject, withoutPromise, type EntryKind, type Signed } from "../../../test/support/sigstore.ts";
import { digestOf, type Digest } from "../../domain/digest.ts";
import { payloadOf } from "./envelope.ts";
import { verifyKeyless } from "./keyless.ts";
import { readBundle } from "./signed-document.ts";
import { parseStatement } from "./statement.ts";
import { readTrustAnchors } from "./trust-anchors.ts";

let vectors: KeylessVectors;

beforeAll(async () => {
  vectors = await createKeylessVectors();
});

const forms: Record<string, (signed: Signed) => Attached> = {
  "bundle v0.1": (signed) => asBundle(signed, "0.1"),
  "bundle v0.2": (signed) => asBundle(signed, "0.2"),
  "bundle v0.3": (signed) => asBundle(signed, "0.3"),
  "bundle v0.3, as it was written first": (signed) => ({
    referrers: [{ bytes: json({ ...bundleOf(signed, "0.3"), mediaType: "application/vnd.dev.sigstore.bundle+json;version=0.3" }) }],
  }),
  "bundle v0.3 without a promise, with a timestamp": (signed) => asBundle({ ...signed, entries: signed.entries.map(withoutPromise) }),
  "layer of the .att tag": asLayer,
};
const kinds: readonly EntryKind[] = ["dsse 0.0.1", "dsse 0.0.2", "intoto 0.0.2", "hashedrekord 0.0.1", "hashedrekord 0.0.2"];

test.each(Object.keys(forms).flatMap((form) => kinds.map((kind) => [form, kind] as const)))("%s, log entry %s", async (form, kind) => {
  const made = await vectors.sign({ kind });
  const signed = { ...made, timestamps: [await vectors.sigstore.timestamp(made.envelope.signature)] };
  const { version, evidence } = await vectors.ask(forms[form]!(signed));
  expect(version).toBe("1.27.3-r2");
  expect(evidence).toEqual({
    type: "SLSAProvenance",
    attestation: expect.stringMatching(/^sha256:/),
    predicateType: "https://slsa.dev/provenance/v1",
    issuer,
    subject,
    logIndex: form.includes("without a promise") ? 0 : Number(made.entries[0]?.logIndex),
    signed: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z$/),
    rootVersion: digestOf(vectors.sigstore.trustedRoot),
  });
});

test("of two witnesses of the time the earlier one counts", async () => {
  const made = await vectors.sign({ after: 300 });
  const promised = Number(made.entries[0]?.integratedTime) * 1_000;
  const late = await vectors.ask(asBundle(made));
  expect(Date.parse(late.evidence.signed ?? "")).toBe(promised);
  const { evidence } = await vectors.ask(asBundle({ ...made, timestamps: [await vectors.sigstore.timestamp(made.envelope.signature)] }));
  expect(Date.parse(evidence.signed ?? "")).toBeLessThan(promised);
});

test("identities: either issuer extension, a person, a user's name, and an expression for the whole subject", async () => {
  const { issuerV1, issuerV2, subjects } = extensions;
  const ask = async (certificate: Parameters<KeylessVectors["sign"]>[0], ...identities: Parameters<typeof wanting>[1][]) =>
    (await vectors.ask(asBundle(await vectors.sign(certificate)), wanting(vectors.sigstore, ...identities))).evidence.subject;

  await expect(ask({ certificate: { issuers: [issuerV1(issuer)] } }, publisher)).resolves.toBe(subject);
  await expect(ask({ certificate: { issuers: [issuerV2(issuer)] } }, publisher)).resolves.toBe(subject);
  const person = subjects({ type: "email", value: "jane@example.org" });
  await expect(ask({ certificate: { subject: person } }, { issuer, subject: "jane@example.org" })).resolves.toBe("jane@example.org");
  const other = { issuer, subject: "nobody" };
  const pattern = {
    issuer,
    subjectRegExp: "https://github\\.com/chainguard-images/images/\\.github/workflows/[a-z]+\\.yaml@refs/heads/main",
  };
  await expect(ask({}, other, pattern)).resolves.toBe(subject);
});

test("lists that name another type than the manifest has, and both forms at once", async () => {
  const signed = await vectors.sign();
  const bytes = json(bundleOf(signed, "0.3"));
  for (const listedType of [null, "application/vnd.oci.empty.v1+json"]) {
    await expect(vectors.ask({ referrers: [{ bytes, listedType }] })).resolves.toMatchObject({ version: "1.27.3-r2" });
  }
  const both = { ...asLayer(await vectors.sign()), ...asBundle(signed) };
  await expect(vectors.ask(both)).resolves.toMatchObject({ version: "1.27.3-r2" });
  const torn = { ...asLayer(await vectors.sign({ statement: good({ version: "1.27.4-r0" }) })), ...asBundle(signed) };
  await expect(vectors.ask(torn)).rejects.toMatchObject({ code: "AttestationsDisagree" });
});

test("what nobody of the policy signed does not keep the publisher's from counting", async () => {
  const stranger = extensions.subjects({ type: "url", value: "https://github.com/eve/images" });
  const foreign = await vectors.sign({ certificate: { subject: stranger }, statement: good({ version: "9.9.9" }) });
  const broken = { bytes: json({ mediaType: "application/vnd.dev.sigstore.bundle.v0.3+json" }) };
  const referrers = [...asBundle(foreign).referrers!, broken, ...asBundle(await vectors.sign()).referrers!];
  await expect(vectors.ask({ referrers })).resolves.toMatchObject({ version: "1.27.3-r2" });
});

const real = (name: string) => readBundle(readFileSync(new URL(`../../../test/bundles/${name}`, import.meta.url)));

test.each([
  {
    file: "npm-sigstore-2.0.0.json",
    digest:
      "sha512:46d4e2f74c4877316640000a6fdf8a8b59f1e0847667973e9859f774dd31b8f1e0937813b777fb66a2ac67d50540fe34640966eee9fc2ccca387082b4c85cd3c",
    predicateType: "https://slsa.dev/provenance/v1",
    signer: {
      issuer: "https://token.actions.githubusercontent.com",
      subject: "https://github.com/sigstore/sigstore-js/.github/workflows/release.yml@refs/heads/main",
      signed: "2023-08-18T16:05:35.000Z",
    },
  },
  {
    file: "cosign-oci-attestation.json",
    digest: "sha256:732112270d7e59418a8c080b134b24cabd67d250d0d0147a97ed95ba5c280aa4",
    predicateType: "https://cosign.sigstore.dev/attestation/v1",
    signer: { issuer: "https://github.com/login/oauth", subject: "cody@soyland.com", signed: "2025-02-28T19:18:11.000Z" },
  },
] as const)("$file, with the root that is built in", ({ file, digest, predicateType, signer }) => {
  const builtIn = readTrustAnchors(undefined, new Date());
  const document = real(file);
  const found = verifyKeyless(document, builtIn);
  expect(found).toEqual({ ...signer, logIndex: expect.any(Number), rootVersion: builtIn.version });
  expect(parseStatement(payloadOf(document.envelope), digest as Digest).predicateType).toBe(predicateType);
  // The same bundle says nothing to those who trust another root, nor about another image.
  const other = readTrustAnchors(vectors.sigstore.trustedRoot, new Date());
  expect(() => verifyKeyless(document, other)).toThrow(expect.objectContaining({ code: "CertificateUntrusted" }));
  expect(() => parseStatement(payloadOf(document.envelope), image)).toThrow(expect.objectContaining({ code: "SubjectMismatch" }));
});
