// Proposals on a real PostgreSQL: what is refused, what a copy holds, what a publish settles.

import { afterAll, beforeAll, beforeEach, expect, test, vi } from "vitest";

import {
  configuration,
  database,
  fingerprint,
  pem,
  proposalOf,
  proposals,
  publish,
  pulled,
  referringTo,
  runs,
  secrets,
  startFixture,
  stopFixture,
} from "../../../../test/support/proposals.ts";
import type { MintProposal } from "../../../api/control/proposals.ts";
import { digestOf } from "../../../domain/digest.ts";
import type { Build } from "../../../domain/ledger.ts";
import { mint } from "../../../domain/minting.ts";
import { statement } from "../../metadata/database.ts";
import { Proposals } from "./proposals.ts";

beforeAll(startFixture);
afterAll(stopFixture);

const dropLink = statement("test-drop-link", "DELETE FROM repository_blobs WHERE digest = $1");
const held = (constraint: string | undefined) => ({ code: expect.stringMatching(/^23(?:503|001)$/), constraint });
const dropManifest = statement("test-drop-manifest", "DELETE FROM manifests WHERE digest = $1");
const patience = (waitSeconds: number) => ({ waitSeconds, signal: new AbortController().signal });
const start = async (policy = "default/images") => (await runs.start({ kind: "tag-sync", policy, trigger: "manual" })).id;

let run: string;
beforeEach(async () => {
  secrets.set("default", "cosign-pub", { "cosign.pub": pem });
  await publish();
  const open = await database.query<{ id: string }>(statement("test-open", "SELECT id FROM runs WHERE state = 'running'"));
  for (const { id } of open) await runs.update(id, { state: "succeeded" });
  run = await start();
});

test("a proposal is stored with the time this registry saw the build, and answered once", async () => {
  const image = await pulled();
  const proposal = await proposals.propose(proposalOf(run, image));
  expect(proposal).toMatchObject({
    policy: "default/images",
    repository: "cgr/chainguard/nginx",
    image: "cgr.dev/chainguard/nginx",
    state: "waiting",
  });
  const { seen } = (proposal.body as MintProposal).build;
  expect(Date.parse(seen)).toBeGreaterThan(Date.parse("2020-01-01"));
  const again = await Promise.all([1, 2, 3].map(() => proposals.propose(proposalOf(run, image))));
  expect(again.map(({ id }) => id)).toEqual([proposal.id, proposal.id, proposal.id]);
  expect((await proposals.waiting(patience(0))).map(({ id }) => id)).toContain(proposal.id);
});

test("with copy: Image the whole closure is held from then on, and let go when it is settled", async () => {
  const image = await pulled();
  const { id } = await proposals.propose(proposalOf(run, image));
  await database.execute(statement("test-drop-tags", "DELETE FROM tags"));
  for (const digest of [image.layer, image.document])
    await expect(database.execute(dropLink, [digest])).rejects.toMatchObject(held("manifest_blobs_held"));
  for (const digest of [image.digest, image.evidence])
    await expect(database.execute(dropManifest, [digest])).rejects.toMatchObject(held("proposal_pins_held"));
  await expect(database.execute(dropManifest, [image.child])).rejects.toMatchObject(held("manifest_children_held"));
  await publish({}, { settled: [{ id, refused: "pinned by ada" }] });
  await expect(proposals.get(id, patience(0))).resolves.toMatchObject({ state: "refused", reason: "pinned by ada" });
  for (const digest of [image.digest, image.child, image.evidence]) expect(await database.execute(dropManifest, [digest])).toBe(1);
  expect(await database.execute(dropLink, [image.layer])).toBe(1);
});

test("published: the ledger holds what the proposal held", async () => {
  const image = await pulled();
  const proposal = await proposals.propose(proposalOf(run, image));
  const body = proposal.body as MintProposal;
  const { ledger } = mint(
    undefined,
    { image: proposal.image ?? "", build: body.build as Build, tags: body.tags, onRebuild: "Newest" },
    { now: new Date(), sourceTags: ["latest"] },
  );
  const answer = proposals.get(proposal.id, patience(20));
  const at = await publish({}, { ledgers: { "cgr/chainguard/nginx": ledger as never }, settled: [{ id: proposal.id }] });
  await expect(answer).resolves.toMatchObject({ state: "published", revision: at });
  await database.execute(statement("test-drop-tags", "DELETE FROM tags"));
  for (const [digest, constraint] of [
    [image.digest, "ledger_held"],
    [image.evidence, "ledger_evidence_held"],
  ]) {
    await expect(database.execute(dropManifest, [digest])).rejects.toMatchObject(held(constraint));
  }
  await publish({}, { ledgers: { "cgr/chainguard/nginx": null } });
});

test.each(["layer", "child", "document"] as const)("a copy without its %s is a conflict that names it", async (missing) => {
  const image = await pulled({ missing });
  const expected = { layer: image.layer, child: image.child, document: image.document }[missing];
  const refused = { layer: "CONFLICT", child: "CONFLICT", document: "DENIED" }[missing];
  await expect(proposals.propose(proposalOf(run, image))).rejects.toMatchObject({
    code: refused,
    message: expect.stringContaining(expected),
    ...(missing === "document" ? {} : { detail: { missing: [expected] } }),
  });
  expect((await proposals.waiting(patience(0))).filter(({ body }) => (body as MintProposal).build.digest === image.digest)).toEqual([]);
});

test("a layer that must not be distributed may be absent; with copy: Reference all but the evidence may", async () => {
  const foreign = await pulled({ missing: "layer", layerType: "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip" });
  await expect(proposals.propose(proposalOf(run, foreign))).resolves.toMatchObject({ state: "waiting" });
  await publish({ policy: { copy: "Reference" } });
  await expect(proposals.propose(proposalOf(run, await pulled({ missing: "child" })))).resolves.toMatchObject({ state: "waiting" });
});

test("what is no field of a proposal is not stored: it would be recorded beside what was judged", async () => {
  const image = await pulled();
  const plain = proposalOf(run, image);
  const { build } = plain;
  const more = { approvedBy: "ada", note: "x".repeat(100_000) };
  const evidence = { ...build.evidence, ...more, key: { ...build.evidence.key!, ...more } };
  const { body } = await proposals.propose({ ...plain, ...more, build: { ...build, ...more, evidence } });
  expect(body).toEqual({ ...plain, build: { ...build, seen: (body as MintProposal).build.seen } });
});

type Change = (image: Awaited<ReturnType<typeof pulled>>) => Parameters<typeof proposalOf>[2];
const denied: [string, string, Change][] = [
  [
    "a digest never seen at the source tag",
    "never saw cgr/chainguard/nginx:latest point at",
    () => ({ build: { digest: digestOf("foreign") } }),
  ],
  [
    "a digest seen at another tag only",
    "never saw cgr/chainguard/nginx:latest-dev",
    () => ({ build: { sourceTag: "latest-dev" }, tags: ["1.27.3-dev"] }),
  ],
  ["a child of the index", "never saw", ({ child }) => ({ build: { digest: child } })],
  ["a tag that is no source tag", "1.27 is no source tag", () => ({ build: { sourceTag: "1.27" } })],
  ["an image of somebody else", "other/nginx is no image of TagPolicy default/images", () => ({ repository: "other/nginx" })],
  ["an image that the Upstream excludes", "does not serve secret/nginx", () => ({ repository: "secret/nginx" })],
  ["a tag that the templates do not make", "do not make the tag latest of", () => ({ tags: ["1.27.3", "latest"] })],
  ["a tag of another version", "do not make the tag 1.27.4", () => ({ tags: ["1.27.4"] })],
  ["a tag with another source tag's suffix", "do not make the tag 1.27.3-dev", () => ({ tags: ["1.27.3-dev"] })],
  ["a version outside the range", "2.0.0 is outside >=1 <2", () => ({ version: "2.0.0", tags: ["2.0.0"] })],
  ["another rule for rebuilds", "onRebuild is Newest", () => ({ onRebuild: "First" })],
  [
    "evidence that the policy does not name",
    "SPDX is no evidence",
    () => ({ evidence: { type: "SPDX", predicateType: "https://spdx.dev/Document" } }),
  ],
  ["another predicate type", "has the predicate type", () => ({ evidence: { predicateType: "https://slsa.dev/provenance/v0.2" } })],
  [
    "a key that is not the policy's",
    "The key that signed is none of",
    () => ({ evidence: { key: { fingerprint: digestOf("x"), name: "cosign-pub/cosign.pub" } } }),
  ],
  ["a key under another name", "The key that signed is none of", () => ({ evidence: { key: { fingerprint, name: "ada" } } })],
  ["no key", "The key that signed is none of", () => ({ evidence: { key: undefined } })],
  ["evidence of another manifest", "was not attached to", () => ({ evidenceManifests: [digestOf("foreign")] })],
  ["the image itself as evidence", "was not attached to", ({ digest }) => ({ evidenceManifests: [digest] })],
  ["a document that the evidence does not list", "is not stored for", ({ layer }) => ({ evidence: { attestation: layer } })],
];
test.each(denied)("refused: %s", async (_, message, change) => {
  const image = await pulled();
  await expect(proposals.propose(proposalOf(run, image, change(image)))).rejects.toMatchObject({
    code: "DENIED",
    message: expect.stringContaining(message),
  });
});

const invalid: [string, string, Change][] = [
  ["no tags", "at least one tag", () => ({ tags: [] })],
  ["no evidence", "1 to 100 manifests", () => ({ evidenceManifests: [] })],
  ["a version that is none", '"latest" is not a version', () => ({ version: "latest" })],
  ["a key and a signer without one", "not both", () => ({ evidence: { issuer: "https://issuer.example", subject: "x" } })],
  ["a log entry that nobody checked", "cannot be recorded", () => ({ evidence: { logIndex: 1 } })],
  ["a signed time that nobody checked", "cannot be recorded", () => ({ evidence: { signed: "2026-11-21T00:00:00Z" } })],
  ["a trusted root that nothing was checked with", "cannot be recorded", () => ({ evidence: { rootVersion: digestOf("root") } })],
  ["platforms that are none", "Platforms are written", () => ({ evidence: { platforms: ["linux/amd64\u0000"] } })],
];
test.each(invalid)("malformed: %s", async (_, message, change) => {
  const image = await pulled();
  await expect(proposals.propose(proposalOf(run, image, change(image)))).rejects.toMatchObject({
    code: "INVALID",
    message: expect.stringContaining(message),
  });
});

const issuer = "https://token.actions.githubusercontent.com";
const subject = "https://github.com/acme/app/.github/workflows/release.yaml@refs/heads/main";
const publishKeyless = (trustedRoot?: { readonly configMapRef: { readonly name: string } }) =>
  publish({
    policy: {
      verify: {
        mode: "Verified",
        ...(trustedRoot === undefined ? {} : { trustedRoot }),
        keyless: [
          { issuer: "https://accounts.example.com", subject: "ada@example.com" },
          { issuer, subjectRegExp: "https://github\\.com/acme/[^/]+/.*" },
        ],
      },
    },
  });
const certified = { key: undefined, issuer, subject, signed: "2026-11-21T02:11:09.000Z", logIndex: 123, rootVersion: digestOf("root") };

test("a signer without a key is stored as it was verified, with its log entry, its time and the root, from a tag or a referrer", async () => {
  await publishKeyless();
  const image = await pulled();
  const proposal = await proposals.propose(proposalOf(run, image, { evidence: certified }));
  const { key, ...stored } = certified;
  expect((proposal.body as MintProposal).build.evidence).toMatchObject(stored);
  expect(key).toBeUndefined();
  expect((proposal.body as MintProposal).build.evidence).not.toHaveProperty("key");

  for (const about of ["digest", "child"] as const) {
    const other = await pulled();
    const evidenceManifests = [await referringTo(other[about], other.document)];
    const request = { evidence: certified, evidenceManifests };
    const foreign = { evidence: certified, evidenceManifests: [await referringTo(image.digest, other.document)] };
    await expect(proposals.propose(proposalOf(run, other, foreign))).rejects.toMatchObject({ code: "DENIED" });
    await expect(proposals.propose(proposalOf(run, other, request))).resolves.toMatchObject({ state: "waiting" });
  }
});

const keylessRefused: [string, string, string, Partial<Build["evidence"]>][] = [
  ["another subject", "DENIED", "is no signer of TagPolicy default/images", { subject: "https://github.com/evil/app/x" }],
  ["a subject of another issuer", "DENIED", "is no signer of", { subject: "ada@example.com" }],
  ["no subject", "DENIED", "is no signer of", { subject: undefined }],
  ["no issuer", "DENIED", "is no signer of", { issuer: undefined }],
  ["no signer at all", "DENIED", "The key that signed is none of", { issuer: undefined, subject: undefined }],
  ["a subject that writes lines", "INVALID", "printable", { subject: `${subject}\nsigner: ada` }],
  ["a subject that a terminal obeys", "INVALID", "printable", { subject: `${subject}\u001b[2J` }],
  ["no time", "INVALID", "says when", { signed: undefined }],
  ["a time that is none", "INVALID", "RFC 3339", { signed: "yesterday" }],
  ["a time to come", "DENIED", "still to come", { signed: "2999-01-01T00:00:00Z" }],
  ["a log index that is none", "INVALID", "log index", { logIndex: -1 }],
  ["a root that is none", "INVALID", "digest of a trusted root", { rootVersion: "new" }],
];
test.each(keylessRefused)("of a signer without a key, %s: %s", async (_, code, message, evidence) => {
  await publishKeyless();
  const image = await pulled();
  await expect(proposals.propose(proposalOf(run, image, { evidence: { ...certified, ...evidence } }))).rejects.toMatchObject({
    code,
    message: expect.stringContaining(message),
  });
});

test("what was verified by a trusted root that the policy no longer has is not stored", async () => {
  const trustedRoot = { configMapRef: { name: "sigstore" } };
  await publishKeyless(trustedRoot);
  const image = await pulled();
  const propose = (rootVersion: string | undefined) =>
    proposals.propose(proposalOf(run, image, { evidence: { ...certified, rootVersion } }));
  const refused = { code: "DENIED", message: expect.stringContaining("has another trusted root") };
  for (const rootVersion of [digestOf("root"), digestOf("")]) await expect(propose(rootVersion)).rejects.toMatchObject(refused);
  secrets.setConfigMap("default", "sigstore", { "trusted_root.json": "root" });
  await expect(propose(undefined)).rejects.toMatchObject(refused);
  secrets.setConfigMap("default", "sigstore", { "trusted_root.json": "the next root" });
  await expect(propose(digestOf("root"))).rejects.toMatchObject(refused);
  await expect(propose(digestOf("the next root"))).resolves.toMatchObject({ state: "waiting" });
});

test("of a policy that verifies nothing no signature states anything", async () => {
  await publish({ policy: { verify: { mode: "Unverified" } } });
  const image = await pulled();
  for (const evidence of [{}, certified, { ...certified, issuer: undefined, subject: undefined, logIndex: undefined }]) {
    await expect(proposals.propose(proposalOf(run, image, { evidence }))).rejects.toMatchObject({
      code: "DENIED",
      message: expect.stringContaining("no signature was checked"),
    });
  }
  await expect(proposals.propose(proposalOf(run, image, { evidence: { key: undefined } }))).resolves.toMatchObject({ state: "waiting" });
});

test("a run that ended, is unknown, or is no tag-sync run proposes nothing", async () => {
  const image = await pulled();
  await runs.update(run, { state: "succeeded", result: {} });
  await expect(proposals.propose(proposalOf(run, image))).rejects.toMatchObject({
    code: "CONFLICT",
    message: expect.stringContaining("has ended"),
  });
  await expect(proposals.propose(proposalOf("b0b0b0b0-0000-4000-8000-000000000000", image))).rejects.toMatchObject({ code: "NOT_FOUND" });
  await expect(proposals.propose(proposalOf("../../etc", image))).rejects.toMatchObject({ code: "NOT_FOUND" });
  await expect(runs.update(run, { progress: 1 })).rejects.toMatchObject({ code: "CONFLICT" });
});

test("a suspended policy starts no run and mints nothing in one that was under way", async () => {
  const image = await pulled();
  await publish({ suspend: true });
  await expect(proposals.propose(proposalOf(run, image))).rejects.toMatchObject({
    code: "CONFLICT",
    message: expect.stringContaining("suspended"),
  });
  await runs.update(run, { state: "failed" });
  await expect(start()).rejects.toMatchObject({ code: "CONFLICT", message: expect.stringContaining("suspended") });
});

test("a repository has one TagPolicy; the older keeps it", async () => {
  await publish({ second: {} });
  const later = await start("default/later");
  const image = await pulled();
  await expect(proposals.propose(proposalOf(later, image))).rejects.toMatchObject({
    code: "CONFLICT",
    message: "cgr/chainguard/nginx has its versions from TagPolicy default/images. A repository has one TagPolicy; the older keeps it.",
  });
  // When the older one lets go of it, the other has it.
  await publish({ policy: { images: [{ repository: "chainguard/curl" }] }, second: {} });
  await expect(proposals.propose(proposalOf(later, image))).resolves.toMatchObject({ policy: "default/later" });
});

test("a long poll ends when something comes, when time is over, and when nobody listens", async () => {
  const open = await proposals.waiting(patience(0));
  await publish({}, { settled: open.map(({ id }) => ({ id, refused: "test" })) });
  await expect(proposals.waiting(patience(1))).resolves.toEqual([]);
  const waiting = proposals.waiting(patience(30));
  const { id } = await proposals.propose(proposalOf(run, await pulled()));
  expect((await waiting).map((proposal) => proposal.id)).toEqual([id]);
  const leaving = new AbortController();
  const held = proposals.get(id, { waitSeconds: 30, signal: leaving.signal });
  leaving.abort();
  await expect(held).resolves.toMatchObject({ id, state: "waiting" });
  await expect(proposals.get("0", patience(0))).rejects.toMatchObject({ code: "NOT_FOUND" });
  await expect(proposals.get("1; DROP TABLE proposals", patience(0))).rejects.toMatchObject({ code: "NOT_FOUND" });
});

test("alone on its database, what is held back asks it at both ends and not in between", async () => {
  const alone = new Proposals({ database, configuration, secrets, alone: true });
  const { id } = await alone.propose(proposalOf(run, await pulled()));
  const asked = vi.spyOn(database, "query");
  try {
    expect(await alone.get(id, patience(2))).toMatchObject({ state: "waiting" });
    expect(asked.mock.calls.filter(([{ name }]) => name === "proposal-by-id")).toHaveLength(2);
    const settled = alone.get(id, patience(20));
    await publish({}, { settled: [{ id, refused: "pinned by ada" }] });
    expect(await settled).toMatchObject({ state: "refused" });
  } finally {
    asked.mockRestore();
    alone.close();
  }
});
