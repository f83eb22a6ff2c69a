// Which trusted roots can be used at all, and what is wrong with the others. Real certificates and keys.

import { beforeAll, expect, test } from "vitest";

import { createTrustedRoot } from "../../test/support/trusted-root.ts";
import { readTrustedRoot } from "./trusted-root.ts";

type Root = Awaited<ReturnType<typeof createTrustedRoot>>;
let root: Root;
beforeAll(async () => {
  root = await createTrustedRoot();
});

const read = (change: (root: Root) => object = (same) => same) => readTrustedRoot(JSON.stringify(change(root)));
const [authority, log] = [() => root.certificateAuthorities[0]!, () => root.tlogs[0]!];
const ended = "2022-12-31T23:59:59.999Z";

test("one that can be used says until when", () => {
  expect(read()).toEqual({ usableUntil: Infinity, ends: "certificate authority" });
  const [old, oldLog] = [
    { ...authority(), validFor: { start: "2020-01-01T00:00:00Z", end: ended } },
    { ...log(), publicKey: { ...log().publicKey, validFor: { end: ended } } },
  ];
  expect(read((same) => ({ ...same, certificateAuthorities: [old, authority()] }))).toMatchObject({ usableUntil: Infinity });
  expect(read((same) => ({ ...same, certificateAuthorities: [old] }))).toEqual({
    usableUntil: Date.parse(ended),
    ends: "certificate authority",
  });
  // Without a log that takes it in nothing new counts, whoever states the time.
  const clocks = { timestampAuthorities: [authority()] };
  expect(read((same) => ({ ...same, ...clocks, tlogs: [oldLog] }))).toEqual({ usableUntil: Date.parse(ended), ends: "signature log" });
  expect(read((same) => ({ ...same, ctlogs: [oldLog] }))).toEqual({ usableUntil: Date.parse(ended), ends: "certificate log" });
  expect(read((same) => ({ ...same, tlogs: [oldLog, log()], ctlogs: [oldLog, log()] }))).toMatchObject({ usableUntil: Infinity });
  expect(read((same) => ({ ...same, mediaType: "application/vnd.dev.sigstore.trustedroot.v0.2+json" }))).toMatchObject({
    usableUntil: Infinity,
  });
});

const chainOf = (rawBytes: unknown) => [{ ...authority(), certChain: { certificates: [{ rawBytes }] } }];

test.each<[string, (root: Root) => object]>([
  ["is no Sigstore trusted root (its mediaType is not", () => ({})],
  [
    "is no Sigstore trusted root (its mediaType is not",
    (same) => ({ ...same, mediaType: "application/vnd.dev.sigstore.bundle.v0.3+json" }),
  ],
  ["is no JSON object", () => []],
  ["names no certificate authority", (same) => ({ ...same, certificateAuthorities: [] })],
  ["names no signature log (tlogs)", (same) => ({ ...same, tlogs: undefined })],
  // GitHub's own, for private repositories.
  ["names no signature log (tlogs)", (same) => ({ ...same, tlogs: [], ctlogs: [], timestampAuthorities: [authority()] })],
  ["names no certificate log (ctlogs)", (same) => ({ ...same, ctlogs: undefined })],
  ["has no list in tlogs", (same) => ({ ...same, tlogs: {} })],
  ["has no object in tlogs[0]", (same) => ({ ...same, tlogs: ["x"] })],
  ["has no certificate in certificateAuthorities[0]", (same) => ({ ...same, certificateAuthorities: [{ certChain: {} }] })],
  ["has no object in certificateAuthorities[0].certChain", (same) => ({ ...same, certificateAuthorities: [{}] })],
  [
    "has no certificate that can be read in certificateAuthorities[0].certChain.certificates[0]",
    (same) => ({ ...same, certificateAuthorities: chainOf("bm9uc2Vuc2U=") }),
  ],
  ["has no rawBytes in certificateAuthorities[0].certChain.certificates[0]", (same) => ({ ...same, certificateAuthorities: chainOf(7) })],
  ["has no public key that can be read in ctlogs[0].publicKey", (same) => ({ ...same, ctlogs: [{ publicKey: { rawBytes: "bm8=" } }] })],
  [
    "has no time in certificateAuthorities[0].validFor.end",
    (same) => ({ ...same, certificateAuthorities: [{ ...authority(), validFor: { end: "soon" } }] }),
  ],
])("one that cannot be used: %s", (problem, change) => {
  expect(read(change)).toEqual({ problem: expect.stringContaining(problem) as string });
});

test("no JSON, and several roots where one belongs", () => {
  expect(readTrustedRoot("")).toEqual({ problem: "is empty" });
  expect(readTrustedRoot("-----BEGIN CERTIFICATE-----")).toEqual({ problem: "is not JSON" });
  const text = JSON.stringify(root);
  expect(readTrustedRoot(`${text}\n${text}\n`)).toEqual({ problem: "holds 2 roots, one a line: put one of them there" });
});
