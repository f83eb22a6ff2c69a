// Versions of images that were signed without a key, whole: a policy with identities and a trusted root of its own, in the process that a person starts.
// Authority, logs and clock are those of @sigstore/mock.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import type { ResourceView } from "../../src/api/control/resources.ts";
import type { VersionsView } from "../../src/api/control/versions.ts";
import { digestOf, type Digest } from "../../src/domain/digest.ts";
import { attestationTag } from "../../src/jobs/attestation/discovery.ts";
import { attach, statement } from "../support/attachments.ts";
import { slsaProvenance } from "../support/cosign.ts";
import { startDistribution, type Distribution } from "../support/distribution.ts";
import { eventually } from "../support/eventually.ts";
import { pushImage } from "../support/images.ts";
import { use } from "../support/programs.ts";
import { annotationsOf, createSigstore, entryOf, envelopeJson, issuer, signEnvelope, subject, type Sigstore } from "../support/sigstore.ts";
import { startStandalone, type Standalone } from "../support/standalone.ts";

const provenance = "https://slsa.dev/provenance/v1";

let upstream: Distribution;
let sigstore: Sigstore;
let wharfinger: Standalone;
let config: string;
beforeAll(async () => {
  [upstream, sigstore, config] = await Promise.all([startDistribution(), createSigstore(), mkdtemp(join(tmpdir(), "wharfinger-keyless-"))]);
  await put("upstream", {
    kind: "Upstream",
    metadata: { name: "cgr" },
    spec: { url: upstream.url, insecure: true, prefix: "cgr", cache: { tagTTL: "1s" } },
  });
  wharfinger = await startStandalone({ config });
});
afterAll(async () => {
  await wharfinger?.stop();
  await upstream?.stop();
  if (config !== undefined) await rm(config, { recursive: true, force: true });
});

const put = (file: string, resource: object) =>
  writeFile(join(config, `${file}.json`), JSON.stringify({ apiVersion: "wharfinger.dev/v1alpha1", ...resource }));
const putRoot = (trustedRoot: string) =>
  put("root", { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "our-sigstore" }, data: { "trusted_root.json": trustedRoot } });
const putPolicy = (name: string, wanted: object) =>
  put(name, {
    kind: "TagPolicy",
    metadata: { name },
    spec: {
      upstreamRef: { name: "cgr" },
      images: [{ repository: `chainguard/${name}` }],
      verify: { keyless: [wanted], trustedRoot: { configMapRef: { name: "our-sigstore" } } },
      schedule: "0 3 1 1 *",
    },
  });

/** `latest` of an image, attested as the publisher's workflow does it. */
async function publish(name: string, version: string): Promise<Digest> {
  const digest = await pushImage({ reference: `${upstream.host}/chainguard/${name}:latest`, content: `${name} ${version}` });
  const { key, certificate } = await sigstore.certify();
  const envelope = signEnvelope(JSON.stringify(statement(digest, provenance, slsaProvenance({ [name]: version }))), key);
  const entries = [await sigstore.log(entryOf("dsse 0.0.1", envelope, certificate))];
  const annotations = annotationsOf({ envelope, certificate, entries, timestamps: [] });
  const bytes = Buffer.from(JSON.stringify(envelopeJson(envelope)));
  await attach(upstream.url, `chainguard/${name}`, attestationTag(digest), [{ bytes, annotations, predicateType: provenance }]);
  return digest;
}

async function cli(...args: string[]): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
  return wharfinger.cli(args);
}
const run = (name: string) => cli("job", "tag-sync", "--policy", `default/${name}`);
async function status(name: string): Promise<ResourceView["status"]> {
  const [view] = JSON.parse((await cli("get", "tagpolicy", `default/${name}`, "-o", "json")).stdout) as ResourceView[];
  if (view === undefined) throw new Error(`there is no view of ${name}`);
  return view.status;
}
const condition = async (name: string, type: string) => (await status(name)).conditions.find((found) => found.type === type);
const says = (name: string, type: string, expected: object) =>
  eventually(async () => expect(await condition(name, type)).toMatchObject(expected));

test("without its trusted root nothing is minted, and with another one: both are said; with the right one the version is, by its signer", async () => {
  const digest = await publish("nginx", "1.27.3-r2");
  await putPolicy("nginx", { issuer, subject });
  const path = "spec.verify.trustedRoot.configMapRef.name";
  await says("nginx", "Ready", {
    status: "False",
    reason: "ConfigMapNotFound",
    message: expect.stringContaining(`${path}: there is no ConfigMap default/our-sigstore with a trusted root: add a ConfigMap document`),
  });
  // By itself no run begins before there is one. One that a person begins finds nothing that stands in for it: not the built-in root either.
  expect((await run("nginx")).code).toBe(1);
  await says("nginx", "Verified", { status: "False", reason: "TrustedRootInvalid" });

  await putRoot((await createSigstore()).trustedRoot);
  await says("nginx", "Ready", { status: "True" });
  expect((await run("nginx")).code).toBe(1);
  await says("nginx", "Verified", {
    status: "False",
    reason: expect.stringMatching(/^(?:CertificateUntrusted|SignedTimeInvalid|LogEntryInvalid)$/),
  });

  await putRoot(sigstore.trustedRoot);
  await eventually(async () => expect(await run("nginx")).toMatchObject({ code: 0 }));
  await says("nginx", "Verified", {
    status: "True",
    message: `the evidence of all images is verified; what is in service was signed by ${subject} (issuer ${issuer})`,
  });
  const view = JSON.parse((await cli("explain", "cgr/chainguard/nginx:1.27.3-r2", "-o", "json")).stdout) as VersionsView;
  const [build] = view.ledger.builds;
  expect(view.ledger.tags).toEqual({ "1.27.3-r2": digest, "1.27.3": digest });
  expect(build?.evidence).toMatchObject({ issuer, subject, logIndex: expect.any(Number), rootVersion: digestOf(sigstore.trustedRoot) });
  expect(Math.abs(Date.parse(build?.evidence.signed ?? "") - Date.now())).toBeLessThan(10 * 60_000);
  const explained = (await cli("explain", "cgr/chainguard/nginx:1.27.3-r2")).stdout;
  expect(explained).toContain(`signer     ${subject} (issuer ${issuer})\n  log        entry ${build?.evidence.logIndex}\n`);
  expect(await use("git", ["-C", join(wharfinger.data, "record"), "log", "-1", "--format=%B"])).toContain(
    `* signer: ${subject} (issuer ${issuer})\n`,
  );
  expect((await fetch(`${wharfinger.url}/v2/cgr/chainguard/nginx/manifests/1.27.3`)).status).toBe(200);
});

test("signed by somebody whom the policy does not name: refused by name, with who it was", async () => {
  await putRoot(sigstore.trustedRoot);
  await publish("redis", "7.4.1-r0");
  await putPolicy("redis", { issuer, subjectRegExp: "https://github\\.com/acme/.*" });
  await says("redis", "Ready", { status: "True" });
  await says("redis", "Verified", {
    status: "False",
    reason: "IdentityMismatch",
    message: expect.stringContaining(`signed by ${subject}`),
  });
  const { failures } = (await status("redis")).details as { readonly failures: readonly object[] };
  expect(failures).toMatchObject([{ repository: "chainguard/redis", sourceTag: "latest", reason: "IdentityMismatch" }]);
  expect((await fetch(`${wharfinger.url}/v2/cgr/chainguard/redis/manifests/7.4.1`)).status).toBe(404);

  await putPolicy("redis", { issuer, subjectRegExp: "https://github\\.com/chainguard-images/.*" });
  await says("redis", "Verified", { status: "True" });
  expect((await fetch(`${wharfinger.url}/v2/cgr/chainguard/redis/manifests/7.4.1`)).status).toBe(200);
});
