import { expect, test } from "vitest";

import { canonicalSpec, specDigest } from "./canonical.ts";
import { validateResource } from "./validate-resource.ts";

const written = { prefix: "example", url: "https://registry.example.com", suspend: true, cache: { tagTTL: "5m", unusedFor: "24h" } };

test("defaults and suspend do not count, keys are sorted", () => {
  expect(JSON.stringify(canonicalSpec("Upstream", written))).toBe(
    '{"cache":{"unusedFor":"24h"},"prefix":"example","url":"https://registry.example.com"}',
  );
});

test("as written or effective: the same", () => {
  const judged = validateResource({ kind: "Upstream", namespace: "default", name: "example", spec: written });
  expect(judged.problems === undefined && canonicalSpec("Upstream", judged.spec)).toEqual(canonicalSpec("Upstream", written));
});

test("a list that equals its default goes, one that does not stays whole", () => {
  const policy = { upstreamRef: { name: "cgr" }, images: [{ repository: "a/b" }], verify: { mode: "Unverified" } };
  expect(canonicalSpec("TagPolicy", { ...policy, sourceTags: [{ name: "latest", suffix: "" }] })).toEqual(policy);
  expect(canonicalSpec("TagPolicy", { ...policy, sourceTags: [{ name: "edge", suffix: "" }] })).toEqual({
    ...policy,
    sourceTags: [{ name: "edge" }],
  });
  expect(canonicalSpec("TagPolicy", { ...policy, backfill: {} })).toEqual({ ...policy, backfill: {} });
});

// The record's history holds these digests: they may never change.
test.each([
  ["Upstream", written, "sha256:19bb2d8341ed97c86fed94ed5eed08f8a461f3c2f3f42eadde8a09644100abe9"],
  [
    "AccessPolicy",
    { subjects: [{ name: "ci", kind: "User" }], repositories: { include: ["**"], exclude: [] }, actions: ["pull"] },
    "sha256:0b16afe8932999633a18a095fd483e906cd165fab81ebd97348b6d331c46d58a",
  ],
] as const)("the digest of this %s is for ever", (kind, spec, digest) => {
  expect(specDigest(kind, spec)).toBe(digest);
});
