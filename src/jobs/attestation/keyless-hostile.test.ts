// Documents that were made to hurt: whatever stands in them, they are refused by name, and what is large is refused before it is read.

import * as fc from "fast-check";
import { beforeAll, expect, test } from "vitest";

import { createKeylessVectors, json, type Attached, type KeylessVectors } from "../../../test/support/keyless-vectors.ts";
import {
  annotationsOf,
  bundleOf,
  envelopeJson,
  extensions,
  issuer,
  subject,
  withoutPromise,
  type Signed,
} from "../../../test/support/sigstore.ts";
import { AttestationError, evidenceFailures } from "./failure.ts";
import { verifyKeyless } from "./keyless.ts";
import { readBundle } from "./signed-document.ts";
import { readTrustAnchors } from "./trust-anchors.ts";

let vectors: KeylessVectors;
let signed: Signed;
/** What its two witnesses state. */
let times: readonly string[];
beforeAll(async () => {
  vectors = await createKeylessVectors();
  const made = await vectors.sign();
  signed = { ...made, timestamps: [await vectors.sigstore.timestamp(made.envelope.signature, 60)] };
  const promised = Number(made.entries[0]?.integratedTime) * 1_000;
  const { signed: stamped } = verifyKeyless(
    readBundle(json(bundleOf({ ...signed, entries: made.entries.map(withoutPromise) }, "0.3"))),
    anchors(),
  );
  times = [new Date(promised).toISOString(), stamped];
});
const isNamed = (code: unknown) => code === undefined || (evidenceFailures as readonly unknown[]).includes(code);
/** Milliseconds, for what is done many times on a machine that has much to do. */
const patience = 120_000;
const anchors = () => readTrustAnchors(vectors.sigstore.trustedRoot, new Date());

type Tree = Record<string, unknown>;
type Path = readonly string[];

/** Every place in a document, from its top. */
function places(value: unknown, path: Path = []): Path[] {
  if (typeof value !== "object" || value === null) return [path];
  return [path, ...Object.entries(value).flatMap(([name, inner]) => places(inner, [...path, name]))];
}

function changed(document: unknown, path: Path, value: unknown): unknown {
  const [name, ...rest] = path;
  if (name === undefined) return value;
  const inner = changed((document as Tree)[name], rest, value);
  return Array.isArray(document) ? document.with(Number(name), inner) : { ...(document as Tree), [name]: inner };
}

/** Text as it is; what JSON has no word for is an empty document. */
const asBundle = (document: unknown): Attached => ({
  referrers: [{ bytes: Buffer.from(typeof document === "string" ? document : (JSON.stringify(document) ?? "")) }],
});

/** The code of the refusal; undefined: accepted, and it says of the same publisher what the document said before. Rejects otherwise. */
async function refusal(attached: Attached): Promise<string | undefined> {
  const answer = await vectors.ask(attached).catch((error: unknown) => {
    if (!(error instanceof AttestationError) || error.message.length > 2_000) throw error;
    return error.code;
  });
  if (typeof answer === "string") return answer;
  const { version, evidence } = answer;
  const same =
    version === "1.27.3-r2" && evidence.issuer === issuer && evidence.subject === subject && times.includes(evidence.signed ?? "");
  if (!same) throw new Error(`accepted as something else: ${JSON.stringify(answer)}`);
  return undefined;
}

const junk = fc.oneof(
  fc.jsonValue({ maxDepth: 2 }),
  fc.constantFrom("", "0", "-1", "1e400", "AAAA", "%%%%", "__proto__", "9".repeat(400), 2 ** 53, {}, [], [null], null, undefined),
  fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes).toString("base64")),
);

test(
  "anything in any place of a bundle: refused by name, or without weight",
  async () => {
    const document = bundleOf(signed, "0.3");
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...places(document)), junk, async (path, value) => {
        await expect(refusal(asBundle(changed(document, path, value)))).resolves.toSatisfy(isNamed);
      }),
      { numRuns: 60 },
    );
  },
  patience,
);

test(
  "one byte of whatever is signed: refused by name",
  async () => {
    const document = bundleOf(signed, "0.3");
    const texts = places(document).filter((path) =>
      /^(?:payload|sig|rawBytes|canonicalizedBody|keyId|signedEntryTimestamp)$/.test(path.at(-1)!),
    );
    expect(texts).toHaveLength(6);
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...texts), fc.nat(), fc.integer({ min: 1, max: 255 }), async (path, at, mask) => {
        const bytes = Buffer.from(path.reduce<unknown>((inner, name) => (inner as Tree)[name], document) as string, "base64");
        bytes[at % bytes.length]! ^= mask;
        expect(await refusal(asBundle(changed(document, path, bytes.toString("base64"))))).toEqual(expect.any(String));
      }),
      { numRuns: 60 },
    );
  },
  patience,
);

test(
  "anything in the annotations of a layer: refused by name, or what it was",
  async () => {
    const annotations = annotationsOf(signed);
    const bytes = json(envelopeJson(signed.envelope));
    const names = Object.keys(annotations).filter((name) => name.startsWith("dev.sigstore.cosign/"));
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...names),
        fc.oneof(
          fc.string(),
          junk.map((value) => JSON.stringify(value) ?? ""),
        ),
        async (name, value) => {
          // The chain leads to the trusted root or nowhere, and a second witness may be missing.
          const matters = !/\/(?:chain|rfc3161timestamp)$/.test(name);
          const code = await refusal({ tag: [{ bytes, annotations: { ...annotations, [name]: value } }] });
          expect([name, code]).toSatisfy(() => isNamed(code) && (code !== undefined || !matters));
        },
      ),
      { numRuns: 60 },
    );
  },
  patience,
);

const material = (document: unknown) => (document as { verificationMaterial: { tlogEntries: object[] } }).verificationMaterial;
const large: Record<string, { code: string; make: (document: Tree) => unknown }> = {
  "thousands of signatures": {
    code: "BundleInvalid",
    make: (document) =>
      changed(
        document,
        ["dsseEnvelope", "signatures"],
        Array.from({ length: 5_000 }, () => ({ sig: "AAAA" })),
      ),
  },
  "thousands of log entries": {
    code: "BundleInvalid",
    make: (document) =>
      changed(
        document,
        ["verificationMaterial", "tlogEntries"],
        Array.from({ length: 5_000 }, () => material(document).tlogEntries[0]),
      ),
  },
  "nine log entries": {
    code: "BundleInvalid",
    make: (document) =>
      changed(
        document,
        ["verificationMaterial", "tlogEntries"],
        Array.from({ length: 9 }, () => material(document).tlogEntries[0]),
      ),
  },
  "nine timestamps": {
    code: "BundleInvalid",
    make: (document) =>
      changed(
        document,
        ["verificationMaterial", "timestampVerificationData", "rfc3161Timestamps"],
        Array.from({ length: 9 }, () => ({ signedTimestamp: "AAAA" })),
      ),
  },
  "a deep document": {
    code: "BundleInvalid",
    make: (document) => JSON.stringify(document).replace("{", `{"extra":${"[".repeat(50_000)}${"]".repeat(50_000)},`),
  },
  "a huge certificate": {
    code: "BundleInvalid",
    make: (document) =>
      changed(document, ["verificationMaterial", "certificate", "rawBytes"], Buffer.alloc(1024 * 1024, 4).toString("base64")),
  },
  "a certificate of one octet string in the other": {
    code: "BundleInvalid",
    make: (document) => changed(document, ["verificationMaterial", "certificate", "rawBytes"], nested(3_000).toString("base64")),
  },
  "a huge timestamp": {
    code: "BundleInvalid",
    make: (document) =>
      changed(
        document,
        ["verificationMaterial", "timestampVerificationData", "rfc3161Timestamps", "0", "signedTimestamp"],
        Buffer.alloc(1024 * 1024, 4).toString("base64"),
      ),
  },
  "a huge checkpoint": {
    code: "BundleInvalid",
    make: (document) =>
      changed(
        document,
        ["verificationMaterial", "tlogEntries", "0", "inclusionProof", "checkpoint", "envelope"],
        "\u2014 a ".repeat(500_000),
      ),
  },
  "an index of a million digits": {
    code: "BundleInvalid",
    make: (document) =>
      changed(document, ["verificationMaterial", "tlogEntries", "0", "inclusionProof", "logIndex"], "9".repeat(1_000_000)),
  },
  "a huge log entry": {
    code: "LogEntryInvalid",
    make: (document) =>
      changed(
        document,
        ["verificationMaterial", "tlogEntries", "0", "canonicalizedBody"],
        Buffer.alloc(1024 * 1024, 0x20).toString("base64"),
      ),
  },
  "a deep log entry": {
    code: "LogEntryInvalid",
    make: (document) =>
      changed(
        document,
        ["verificationMaterial", "tlogEntries", "0", "canonicalizedBody"],
        Buffer.from("[".repeat(50_000)).toString("base64"),
      ),
  },
};

test.each(Object.keys(large))("%s", async (name) => {
  const { code, make } = large[name]!;
  expect(await refusal(asBundle(make(bundleOf(signed, "0.3"))))).toBe(code);
});

test("what a stranger signed is not read where it is large: everybody gets a certificate", async () => {
  const stranger = { subject: extensions.subjects({ type: "url", value: "https://github.com/eve/images" }) };
  // It is no statement, which only who reads it knows.
  const bytes = async (length: number) => ({
    referrers: [
      { bytes: json(bundleOf(await vectors.sign({ certificate: stranger, statement: { packages: "x".repeat(length) } }), "0.3")) },
    ],
  });
  expect(await refusal(await bytes(1_000))).toBe("StatementInvalid");
  expect(await refusal(await bytes(100_000))).toBe("IdentityMismatch");
});

test("many bundles", async () => {
  const bytes = json(bundleOf(signed, "0.3"));
  const referrers = (count: number) => Array.from({ length: count }, (_, index) => ({ bytes, annotations: { index: String(index) } }));
  expect(await refusal({ referrers: referrers(50) })).toBeUndefined();
  expect(await refusal({ referrers: referrers(51) })).toBe("TooManyDocuments");
  expect(await refusal({ referrers: referrers(30), tag: referrers(21) })).toBe("TooManyDocuments");
});

test("bundles of another kind", async () => {
  for (const mediaType of [
    "application/vnd.dev.sigstore.bundle.v0.4+json",
    "application/vnd.dev.sigstore.bundle+json;version=0.10",
    "",
    3,
  ]) {
    expect(await refusal(asBundle({ ...bundleOf(signed, "0.3"), mediaType }))).toBe("BundleInvalid");
  }
  // A certificate chain belongs to older bundles, a proof to newer ones.
  const chain = { ...bundleOf(signed, "0.1"), mediaType: bundleOf(signed, "0.3")["mediaType"] };
  expect(await refusal(asBundle(chain))).toBe("BundleInvalid");
});

/** DER: an OCTET STRING in an OCTET STRING, and so on. */
function nested(depth: number): Buffer {
  let inner = Buffer.from([0x04, 0x00]);
  for (let level = 0; level < depth; level++) {
    const length =
      inner.length < 128 ? [inner.length] : inner.length < 256 ? [0x81, inner.length] : [0x82, inner.length >> 8, inner.length & 0xff];
    inner = Buffer.concat([Buffer.from([0x04, ...length]), inner]);
  }
  return inner;
}
