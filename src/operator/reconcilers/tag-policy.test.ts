// What a TagPolicy says of its keys and of its last run. Real keys; no registry is needed to say it.

import { generateKeyPairSync } from "node:crypto";

import { expect, test } from "vitest";

import { createTrustedRoot } from "../../../test/support/trusted-root.ts";
import type { TagPolicySpec } from "../../api/kinds.ts";
import { keyString } from "../../domain/resource.ts";
import type { SecretSource } from "../../domain/secrets.ts";
import { emptyView, type RecordedFile, type RecordedLedger, type RecordView } from "../../record/record-view.ts";
import { validateResource } from "../../validation/validate-resource.ts";
import type { DeliveryState } from "../ports.ts";
import type { RunState } from "../runs/run-states.ts";
import type { ReportContext } from "./reconciler.ts";
import { tagPolicyReconciler } from "./tag-policy.ts";

const key = { kind: "TagPolicy", namespace: "default", name: "images" } as const;
const pem = generateKeyPairSync("ed25519").publicKey.export({ type: "spki", format: "pem" }).toString();
const privatePem = generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" }).toString();

function specOf(verify: unknown): TagPolicySpec {
  const images = [{ repository: "a/b" }, { repository: "a/c" }];
  const judged = validateResource({ ...key, spec: { upstreamRef: { name: "cgr" }, images, verify } });
  if (judged.problems !== undefined) throw new Error(JSON.stringify(judged.problems));
  return judged.spec;
}

const withKeys = specOf({ keys: [{ secretRef: { name: "cosign-pub" } }] });

type Texts = Readonly<Record<string, string>>;
const bytesOf = (data: Texts | undefined) =>
  data && new Map(Object.entries(data).map(([name, text]) => [name, new TextEncoder().encode(text)]));

function secretsOf(data: Texts, root: Texts | undefined): SecretSource {
  return { secret: () => bytesOf(data), configMap: () => bytesOf(root), onChange: () => () => undefined };
}

interface Reported {
  readonly spec?: TagPolicySpec;
  readonly data?: Texts;
  readonly root?: Texts | undefined;
  readonly runs?: RunState;
  readonly delivery?: ReportContext["delivery"];
  readonly view?: RecordView;
  readonly wasReady?: boolean;
}

function report(options: Reported) {
  const { spec = withKeys, data = { "cosign.pub": pem }, root, runs, delivery, view = emptyView, wasReady = false } = options;
  return tagPolicyReconciler.report(key, spec, {
    view,
    upstreams: new Map(),
    recordedGeneration: () => 1,
    secrets: secretsOf(data, root),
    delivery,
    users: undefined,
    issuers: undefined,
    administrators: "default",
    wasReady: () => wasReady,
    awaitsProbe: () => false,
    runsOf: () => runs,
  });
}

test.each([
  [{ "cosign.pub": pem }, undefined],
  [{ "cosign.pub": pem, "old.pub": "nonsense" }, undefined],
  [
    { "cosign.key": privatePem, password: "p" },
    "Secret default/cosign-pub has no key that ends in .pub (it has cosign.key, password): put the publisher's public key there, for example as cosign.pub",
  ],
  [
    {},
    "Secret default/cosign-pub has no key that ends in .pub (it is empty): put the publisher's public key there, for example as cosign.pub",
  ],
  [
    { "cosign.pub": privatePem },
    "Secret default/cosign-pub has no public key that can be used: cosign.pub holds a private key; only the public one belongs here",
  ],
])("keys %#", (data, message) => {
  expect(report({ data }).notReady).toEqual(
    message === undefined ? undefined : { reason: "SecretInvalid", path: "spec.verify.keys[0].secretRef.name", message },
  );
});

const keyless = [{ issuer: "https://token.actions.githubusercontent.com", subject: "ci" }];
const withRoot = specOf({ keyless, trustedRoot: { configMapRef: { name: "root" } } });
const replace = "kubectl -n default create configmap root --from-file=trusted_root.json --dry-run=client -o yaml | kubectl replace -f -";
const unread = { state: "unread", reason: "NotDelivered", message: "could not be read" } as const;

test("a trusted root that is missing, is none, or is out of date: what to do, in a cluster and in a folder", async () => {
  const rootOf = async (until?: string) => ({ "trusted_root.json": JSON.stringify(await createTrustedRoot({ until })) });
  const here = { stateOf: () => ({ state: "delivered" }) as const };
  const said = (root: Texts | undefined, delivery?: ReportContext["delivery"]) => report({ spec: withRoot, root, delivery }).notReady;
  const path = "spec.verify.trustedRoot.configMapRef.name";
  expect(said(await rootOf())).toBeUndefined();
  expect(said(await rootOf("2999-01-01T00:00:00Z"), here)).toBeUndefined();
  expect(said(undefined, here)).toEqual({
    reason: "ConfigMapNotFound",
    path,
    message:
      "there is no ConfigMap default/root with a trusted root: create it (kubectl -n default create configmap root --from-file=trusted_root.json), or take spec.verify.trustedRoot out to trust the public-good root",
  });
  expect(said(undefined)?.message).toContain(
    "add a ConfigMap document with the key trusted_root.json in the configuration folder, or take spec.verify.trustedRoot out",
  );
  expect(said({ "root.json": "{}" }, here)).toEqual({
    reason: "TrustedRootInvalid",
    path,
    message: `ConfigMap default/root has no key trusted_root.json (it has root.json): replace it (${replace})`,
  });
  expect(said({ "trusted_root.json": "{}" })).toEqual({
    reason: "TrustedRootInvalid",
    path,
    message: expect.stringMatching(
      /^ConfigMap default\/root has no trusted root in trusted_root.json, it is no Sigstore .* folder$/,
    ) as string,
  });
  expect(said({ "trusted_root.json": " ".repeat(70_000) })?.message).toContain(
    "has 70000 bytes in trusted_root.json, 65536 at most are taken",
  );
  expect(said(await rootOf("2022-12-31T00:00:00Z"), here)).toEqual({
    reason: "TrustedRootExpired",
    path,
    message: `ConfigMap default/root is out of date, every certificate authority in it ended by 2022-12-31T00:00:00.000Z: replace it (${replace}) with the newer root`,
  });
  // It could not be looked at: what the processes have counts.
  expect(said(undefined, { stateOf: () => ({ ...unread, served: true }) })).toBeUndefined();
  expect(said(undefined, { stateOf: () => ({ ...unread, served: false }) })).toEqual({
    reason: "NotDelivered",
    path,
    message: "could not be read",
  });
});

const onItsWay = { state: "onItsWay", reason: "Progressing", message: "on its way" } as const;
const path = "spec.verify.keys[0].secretRef.name";

test.each([
  [
    { state: "delivered" },
    undefined,
    ["True", "Succeeded", undefined, "every process of the registry has what its runs need as it is now"],
  ],
  [{ ...onItsWay, served: false }, "Progressing", ["False", "Progressing", path, "on its way"]],
  [{ ...onItsWay, served: true }, undefined, ["False", "Progressing", path, "on its way"]],
  [
    { state: "refused", reason: "CredentialsTooLarge", message: "no room" },
    "CredentialsTooLarge",
    ["False", "CredentialsTooLarge", path, "no room"],
  ],
  [{ state: "unsaid" }, undefined, ["Unknown", "NotDelivered", undefined, expect.stringContaining("is not known here")]],
] as const)("a key that is %j: not ready for %j, and %j", (state, notReady, said) => {
  const { notReady: found, conditions } = report({ delivery: { stateOf: () => state } });
  expect(found?.reason).toBe(notReady);
  const { status, reason, path: place, message } = conditions.find(({ type }) => type === "CredentialsLoaded") ?? {};
  expect([status, reason, place, message]).toEqual(said);
});

test("what the processes had before an operator began is what the status says of it", () => {
  const delivery = { stateOf: () => ({ ...onItsWay, served: undefined }) };
  expect(report({ delivery, wasReady: true }).notReady).toBeUndefined();
  expect(report({ delivery, wasReady: false }).notReady).toMatchObject({ reason: "Progressing" });
});

test("a run that waits says for what and until when", () => {
  const runs: RunState = { waitsUntil: "2026-11-22T10:05:00.000Z" };
  const [said] = report({ runs, delivery: { stateOf: () => ({ ...onItsWay, served: false }) } }).conditions;
  expect(said?.message).toBe(
    "on its way; its run waits for that, until 2026-11-22T10:05:00.000Z at most: then it begins with what the registry has",
  );
});

test("a run needs the login of the policy's Upstream too; whether the policy is ready is another thing", () => {
  const upstreamKey = { kind: "Upstream", namespace: "default", name: "cgr" } as const;
  const spec = { url: "https://cgr.dev", auth: { secretRef: { name: "login" } }, repositories: { include: [], exclude: [] } };
  const view = { ...emptyView, resources: new Map([[keyString(upstreamKey), { key: upstreamKey, spec } as unknown as RecordedFile]]) };
  const said = (data: Texts, login: DeliveryState) => {
    const stateOf = ({ name }: { readonly name: string }): DeliveryState => (name === "login" ? login : { state: "delivered" });
    const { notReady, conditions } = report({ view, data: { "cosign.pub": pem, ...data }, delivery: { stateOf } });
    return [notReady, ...conditions.map(({ status, reason, path: place }) => [status, reason, place])];
  };
  const login = { username: "u", password: "p" };
  expect(said(login, { ...onItsWay, served: false })).toEqual([undefined, ["False", "Progressing", "spec.upstreamRef.name"]]);
  expect(said({}, { state: "delivered" })).toEqual([undefined, ["False", "SecretInvalid", "spec.upstreamRef.name"]]);
  expect(said(login, { state: "delivered" })).toEqual([undefined, ["True", "Succeeded", undefined]]);
});

const ended = (failures: readonly { reason: string; message?: string }[], failed = failures.length): RunState => ({
  last: {
    run: "7",
    finishedAt: "2026-11-21T10:00:00.000Z",
    succeeded: true,
    message: "said",
    result: { images: { total: 2, failed }, minted: [], failures: failures.map((f) => ({ repository: "a/b", sourceTag: "latest", ...f })) },
  },
});
const conditionsOf = (runs: RunState, spec = withKeys) =>
  Object.fromEntries(report({ runs, spec }).conditions.map(({ type, status, reason, message }) => [type, [status, reason, message]]));
const inSamePlace = "what it names is there, and the registry reads it where the control plane does";
const loaded = { CredentialsLoaded: ["True", "Succeeded", inSamePlace] };

test("a run in which every image is well", () => {
  expect(conditionsOf(ended([]))).toEqual({
    ...loaded,
    Verified: ["True", "Succeeded", "the evidence of all images is verified"],
    Synced: ["True", "Succeeded", "said"],
  });
  expect(report({ runs: ended([]) }).details).toEqual({
    images: { total: 2, failed: 0 },
    tags: 0,
    lastRun: { id: "7", state: "succeeded", finishedAt: "2026-11-21T10:00:00.000Z", message: "said" },
  });
});

test.each([
  ["SignatureInvalid", "False"],
  ["Unavailable", "Unknown"],
  ["VersionRefused", "True"],
])("an image failed with %s: Verified is %s, Synced is False", (reason, verified) => {
  const runs = ended([{ reason, message: "why" }]);
  expect(conditionsOf(runs)).toMatchObject({
    Verified: [verified, verified === "True" ? "Succeeded" : reason, expect.any(String)],
    Synced: ["False", "ImagesFailed", `said; a/b:latest ${reason}: why`],
  });
  expect(report({ runs }).details).toMatchObject({
    images: { total: 2, failed: 1 },
    failures: [{ repository: "a/b", sourceTag: "latest", reason, message: "why" }],
  });
});

test("a run that could not be done, one that is under way, and a policy that verifies nothing", () => {
  const failed: RunState = { last: { run: "", finishedAt: "then", succeeded: false, message: "away", result: undefined } };
  expect(conditionsOf(failed)).toEqual({ ...loaded, Verified: ["Unknown", "RunFailed", "away"], Synced: ["False", "RunFailed", "away"] });
  expect(report({ runs: failed }).details).toMatchObject({ lastRun: { state: "failed", finishedAt: "then", message: "away" } });
  expect(report({ runs: { ...failed, running: "now" } }).details).toMatchObject({ lastRun: { state: "running", startedAt: "now" } });
  expect(conditionsOf(ended([]), specOf({ mode: "Unverified" }))["Verified"]).toEqual([
    "False",
    "Unverified",
    "spec.verify.mode is Unverified: nobody's signature is checked",
  ]);
  const notes = [{ path: "spec.verify.mode", message: "Unverified, nobody's signature is checked" }];
  expect(report({ spec: specOf({ mode: "Unverified" }) })).toMatchObject({ notes });
  expect(report({})).not.toHaveProperty("notes");
});

test("whose signature counts is told of what is in service, also where several signed", () => {
  const upstreamKey = { kind: "Upstream", namespace: "default", name: "cgr" } as const;
  const upstream = {
    key: upstreamKey,
    spec: { auth: {}, prefix: "cgr", repositoryPrefix: "", repositories: { include: ["**"], exclude: [] } },
  };
  const by = (...signers: (object | undefined)[]): RecordView => {
    const digests = signers.map((_, index) => `sha256:${String(index).repeat(64)}`);
    const builds = signers.map((signer, index) => ({ digest: digests[index], evidence: signer }));
    const ledger = { builds, tags: Object.fromEntries(digests.map((digest, index) => [`1.${index}`, digest])) };
    return {
      ...emptyView,
      resources: new Map([[keyString(upstreamKey), upstream as unknown as RecordedFile]]),
      ledgers: new Map([["cgr/a/b", { ledger } as unknown as RecordedLedger]]),
    };
  };
  const said = (view: RecordView) =>
    report({ runs: ended([]), spec: withRoot, view }).conditions.find(({ type }) => type === "Verified")?.message;
  const verified = "the evidence of all images is verified";
  const ci = { subject: "https://github.com/acme/app/x", issuer: "https://token.actions.githubusercontent.com" };
  expect(said(by({}))).toBe(verified);
  const signer = "https://github.com/acme/app/x (issuer https://token.actions.githubusercontent.com)";
  expect(said(by(ci, ci))).toBe(`${verified}; what is in service was signed by ${signer}`);
  const others = ["a@example.com", "b@example.com"].map((subject) => ({ subject, issuer: "https://i.example.com" }));
  const named = `a@example.com (issuer https://i.example.com), b@example.com (issuer https://i.example.com), ${signer} and 1 more`;
  expect(said(by(ci, { key: { name: "cosign-pub/cosign.pub" } }, ...others))).toBe(
    `${verified}; what is in service was signed by ${named}`,
  );
});

const shadows = (shadowed: unknown): RunState => {
  const { last } = ended([]);
  return { last: { ...last!, result: { ...(last!.result as object), shadowed } } };
};
const unknown = { images: 2, message: "upstream answers 403" };

test.each([
  [{ total: 0, tags: [] }, undefined],
  [
    { total: 1, tags: ["cgr/a/b:1.2"] },
    ["True", "MintedTagWins", "upstream has a tag of the same name as a minted one, and the minted one is served: cgr/a/b:1.2"],
  ],
  [
    { total: 25, tags: ["c/b:1", "c/b:2", "c/b:3", "c/b:4"], unknown },
    [
      "True",
      "MintedTagWins",
      "upstream has 25 tags of the same name as a minted one, and the minted one is served: c/b:1, c/b:2, c/b:3 and 22 more; of 2 images it is not known: upstream answers 403",
    ],
  ],
  [
    { total: 0, tags: [], unknown: { ...unknown, images: 1 } },
    ["Unknown", "TagsUnknown", "whether upstream has tags of the same names is not known of 1 image: upstream answers 403"],
  ],
  // The job writes it, and nothing that it writes is taken for what it ought to be.
  [{ total: "many", tags: 7 }, undefined],
  ["nonsense", undefined],
])("tags of upstream behind minted ones %#", (shadowed, condition) => {
  const conditions = conditionsOf(shadows(shadowed));
  expect(conditions["Shadowed"]).toEqual(condition);
  expect(conditions["Synced"]?.[0]).toBe("True");
  expect(report({ runs: shadows(shadowed) }).notReady).toBeUndefined();
});
