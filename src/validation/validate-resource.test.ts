import { expect, test } from "vitest";

import { validateResource } from "./validate-resource.ts";

const upstream = (spec: unknown) => ({ kind: "Upstream" as const, namespace: "default", name: "example", spec });
const minimal = { url: "https://registry.example.com", prefix: "example" };

test("defaults are filled in, nested ones too, and suspend is apart", () => {
  expect(validateResource(upstream({ ...minimal, suspend: true, cache: { tagTTL: "1m" } }))).toEqual({
    spec: {
      ...minimal,
      insecure: false,
      repositoryPrefix: "",
      hosts: [],
      repositories: { include: ["**"], exclude: [] },
      auth: { provider: "generic" },
      allowedHosts: [],
      cache: { mode: "Always", tagTTL: "1m", staleIfError: "168h", unusedFor: "720h" },
      rateLimit: { reservePercent: 20 },
      timeouts: { connect: "5s", firstByte: "20s", idle: "30s" },
      offline: false,
    },
    suspend: true,
    warnings: [],
  });
});

test("defaults inside lists and inside list defaults", () => {
  const judged = validateResource({
    kind: "TagPolicy",
    namespace: "default",
    name: "example",
    spec: { upstreamRef: { name: "cgr" }, images: [{ repository: "a/b" }], verify: { keys: [{ secretRef: { name: "k" } }] } },
  });
  expect(judged.problems).toBeUndefined();
  expect(judged).toMatchObject({
    spec: {
      sourceTags: [{ name: "latest", suffix: "" }],
      evidence: [{ type: "SLSAProvenance" }, { type: "SPDX" }, { type: "CycloneDX" }, { type: "Apko" }],
      verify: { mode: "Verified" },
      tags: ["{fullVersion}", "{version}"],
    },
  });
});

test("what was given is not changed", () => {
  const given = Object.freeze({ ...minimal, cache: Object.freeze({ tagTTL: "1m" }) });
  validateResource(upstream(given));
  expect(given).toEqual({ ...minimal, cache: { tagTTL: "1m" } });
});

test("a field without a value counts as absent, as at an API server", () => {
  expect(validateResource(upstream({ ...minimal, cache: null, certSecretRef: null }))).toMatchObject({ spec: { cache: { tagTTL: "5m" } } });
  expect(validateResource(upstream({ ...minimal, prefix: null })).problems).toEqual([
    { path: "spec.prefix", message: "is required", rule: "required" },
  ]);
});

test("all problems are named at once; rules wait only for what they look at", () => {
  const { problems } = validateResource(upstream({ url: 5, prefix: "v2", hosts: [null], ofline: true }));
  expect(problems).toEqual([
    { path: "spec.ofline", message: 'is no field of this kind; did you mean "offline"?', rule: "unknown-field" },
    { path: "spec.url", message: "must be a string, is a number: put it in quotes", rule: "type" },
    { path: "spec.hosts[0]", message: "must be a string, is empty (null)", rule: "type" },
    expect.objectContaining({ path: "spec.prefix", rule: "cel" }),
  ]);
  // What a typing mistake hides is not called missing; what stands beside it is judged.
  const verify = { kyes: [{ secretRef: { name: "k" } }] };
  const versions = { pattern: "(.*)" };
  const policy = { upstreamRef: { name: "cgr" }, images: [{ repository: "A" }], verify, versions };
  const judged = validateResource({ kind: "TagPolicy", namespace: "default", name: "x", spec: policy });
  expect(judged.problems?.map(({ path, rule }) => [path, rule])).toEqual([
    ["spec.verify.kyes", "unknown-field"],
    ["spec.images[0].repository", "cel"],
    ["spec.versions", "cel"],
  ]);
});

test("durations of days and weeks are said in hours", () => {
  const { problems } = validateResource(upstream({ ...minimal, cache: { unusedFor: "30d", staleIfError: "2w" } }));
  expect(problems?.map(({ path, message }) => `${path} ${message}`)).toEqual([
    "spec.cache.staleIfError must be a duration of hours, minutes, seconds and milliseconds, for example 1h30m; write 336h",
    "spec.cache.unusedFor must be a duration of hours, minutes, seconds and milliseconds, for example 1h30m; write 720h",
  ]);
});

test.each([undefined, null, "text", []])("spec %j", (spec) => {
  expect(validateResource(upstream(spec)).problems).toHaveLength(1);
});

test("unknown fields of the record are left out with a warning", () => {
  const judged = validateResource(upstream({ ...minimal, colour: "green", cache: { tint: 1 } }), { unknownFields: "warn" });
  expect(judged).toMatchObject({
    warnings: [
      "spec.colour is ignored, because it is no field of this kind",
      "spec.cache.tint is ignored, because it is no field of this kind",
    ],
  });
  expect(judged.problems === undefined && Object.keys(judged.spec)).not.toContain("colour");
});

test("names of JavaScript's objects are unknown fields like others", () => {
  const spec = JSON.parse(
    `{"url":"https://registry.example.com","prefix":"example","__proto__":{"insecure":true},"constructor":1}`,
  ) as unknown;
  expect(validateResource(upstream(spec)).problems?.map(({ path }) => path)).toEqual(["spec.__proto__", "spec.constructor"]);
});

test("an old spec from before a field existed changes nothing", () => {
  expect(validateResource(upstream(minimal), { previous: minimal }).problems).toBeUndefined();
});

test.each(["../../etc", "a/b", "", "A", "-a", "a..b", "a".repeat(254)])("the name %j is refused: the record makes a path of it", (name) => {
  expect(validateResource({ ...upstream(minimal), name }).problems?.map(({ path }) => path)).toEqual(["metadata.name"]);
  expect(validateResource({ ...upstream(minimal), namespace: name }).problems?.map(({ path }) => path)).toEqual(["metadata.namespace"]);
});

test.each([
  [upstream({ ...minimal, insecure: true }), ["spec.insecure has no effect on an https url: remove it"]],
  [
    upstream({ ...minimal, url: "http://registry.example.com", insecure: true, auth: { secretRef: { name: "a" } } }),
    ["spec.auth.secretRef: over http everybody on the way can read these credentials"],
  ],
])("accepted with a warning", (resource, warnings) => {
  expect(validateResource(resource)).toMatchObject({ warnings });
});

test("an identity that is everybody, and writing without credentials, are worth a word", () => {
  const policy = {
    upstreamRef: { name: "cgr" },
    images: [{ repository: "a/b" }],
    verify: { keyless: [{ issuer: "https://issuer.example.com", subjectRegExp: ".*" }] },
  };
  expect(validateResource({ kind: "TagPolicy", namespace: "default", name: "x", spec: policy })).toMatchObject({
    warnings: ["spec.verify.keyless[0].subjectRegExp matches every signer of this issuer: name the one you trust"],
  });
  const rooted = { ...policy, verify: { keys: [{ secretRef: { name: "k" } }], trustedRoot: { configMapRef: { name: "r" } } } };
  expect(validateResource({ kind: "TagPolicy", namespace: "default", name: "x", spec: rooted })).toMatchObject({
    warnings: ["spec.verify.trustedRoot has no effect without spec.verify.keyless: keys need none, remove it"],
  });
  const open = { subjects: [{ kind: "Anonymous" }], repositories: { include: ["**"] }, actions: ["pull", "push"] };
  expect(validateResource({ kind: "AccessPolicy", namespace: "default", name: "x", spec: open })).toMatchObject({
    warnings: ["spec.actions: everybody who reaches the registry may push here, without credentials"],
  });
});

test("at most 20 problems", () => {
  const hosts = Array.from({ length: 100_000 }, () => 1);
  expect(validateResource(upstream({ ...minimal, hosts })).problems).toHaveLength(20);
});
