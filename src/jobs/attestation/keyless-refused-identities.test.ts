// Signers that nobody asked for: a good keyless attestation by somebody else, or by somebody who cannot be told.

import { beforeAll, expect, test } from "vitest";

import { failureOf, judged, type Refused } from "../../../test/support/keyless-refusals.ts";
import { asBundle, createKeylessVectors, wanting, type KeylessVectors } from "../../../test/support/keyless-vectors.ts";
import { extensions, issuer, subject } from "../../../test/support/sigstore.ts";

let vectors: KeylessVectors;
beforeAll(async () => {
  vectors = await createKeylessVectors();
});

const { issuerV1, issuerV2, subjects } = extensions;

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

test.each(identity)("$what: $code", async (refused) => {
  await expect(judged(vectors, refused)).rejects.toMatchObject(failureOf(refused));
});

test("a key and an identity: either is enough, and neither lends itself to the other", async () => {
  const signed = await vectors.sign();
  const { signers } = wanting(vectors.sigstore, { issuer, subject: "nobody" });
  if (signers === "Unverified") throw new Error("verified");
  await expect(vectors.ask(asBundle(signed), { signers })).rejects.toMatchObject({ code: "IdentityMismatch" });
  await expect(vectors.ask(asBundle(signed), { signers: "Unverified" })).resolves.toMatchObject({ version: "1.27.3-r2" });
});
