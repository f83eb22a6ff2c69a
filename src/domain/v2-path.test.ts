import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { isRepositoryName, isTag } from "./reference.ts";
import { parseV2Path, type V2Path } from "./v2-path.ts";

const sha256 = `sha256:${"a".repeat(64)}` as const;
const sha512 = `sha512:${"0".repeat(128)}` as const;
const session = "0b8e0d1e-5a2b-4f6d-9c3e-0123456789ab";

const good: readonly (readonly [string, V2Path])[] = [
  ["/v2", { kind: "base" }],
  ["/v2/", { kind: "base" }],
  ["/v2/_catalog", { kind: "catalog" }],
  ["/v2/app/tags/list", { kind: "tags", name: "app" }],
  ["/v2/a/b/c/d/e/tags/list", { kind: "tags", name: "a/b/c/d/e" }],
  ["/v2/tags/list/tags/list", { kind: "tags", name: "tags/list" }],
  ["/v2/app/manifests/latest", { kind: "manifest", name: "app", reference: { tag: "latest" } }],
  ["/v2/app/manifests/list", { kind: "manifest", name: "app", reference: { tag: "list" } }],
  [`/v2/app/manifests/${sha256}`, { kind: "manifest", name: "app", reference: { digest: sha256 } }],
  [`/v2/app/manifests/sha256%3A${"a".repeat(64)}`, { kind: "manifest", name: "app", reference: { digest: sha256 } }],
  [`/v2/app/manifests/${sha512}`, { kind: "manifest", name: "app", reference: { digest: sha512 } }],
  [`/v2/app/blobs/${sha256}`, { kind: "blob", name: "app", digest: sha256 }],
  ["/v2/app/blobs/uploads/", { kind: "uploads", name: "app" }],
  ["/v2/app/blobs/uploads", { kind: "uploads", name: "app" }],
  ["/v2/manifests/blobs/uploads/", { kind: "uploads", name: "manifests" }],
  [`/v2/blobs/uploads/blobs/${sha256}`, { kind: "blob", name: "blobs/uploads", digest: sha256 }],
  [`/v2/app/blobs/uploads/${session}`, { kind: "upload", name: "app", session }],
  [`/v2/a/b/referrers/${sha256}`, { kind: "referrers", name: "a/b", digest: sha256 }],
  ["/v2/%61pp/tags/list", { kind: "tags", name: "app" }],
];

const bad: readonly (readonly [string, string])[] = [
  ["/v3/", "NOT_FOUND"],
  ["/v2x/app/tags/list", "NOT_FOUND"],
  ["/v2//", "NOT_FOUND"],
  ["/v2/app", "NOT_FOUND"],
  ["/v2/app/", "NOT_FOUND"],
  ["/v2/app/tags", "NOT_FOUND"],
  ["/v2/app/tags/list/", "NOT_FOUND"],
  ["/v2/app/tags/lists", "NOT_FOUND"],
  ["/v2/_catalog/", "NOT_FOUND"],
  ["/v2/tags/list", "NAME_INVALID"],
  ["/v2//tags/list", "NAME_INVALID"],
  ["/v2/manifests/latest", "NAME_INVALID"],
  ["/v2/App/tags/list", "NAME_INVALID"],
  ["/v2/a//b/tags/list", "NAME_INVALID"],
  ["/v2/a/../b/tags/list", "NAME_INVALID"],
  ["/v2/../tags/list", "NAME_INVALID"],
  ["/v2/a/%2e%2e/b/tags/list", "NAME_INVALID"],
  ["/v2/a%2fb/tags/list", "NAME_INVALID"],
  ["/v2/a%2Fb/tags/list", "NAME_INVALID"],
  ["/v2/a%252fb/tags/list", "NAME_INVALID"],
  ["/v2/a%5cb/tags/list", "NAME_INVALID"],
  ["/v2/a%00/tags/list", "NAME_INVALID"],
  ["/v2/a%/tags/list", "NAME_INVALID"],
  ["/v2/a%ff/tags/list", "NAME_INVALID"],
  ["/v2/a%0a/tags/list", "NAME_INVALID"],
  ["/v2/a___b/tags/list", "NAME_INVALID"],
  ["/v2/-a/tags/list", "NAME_INVALID"],
  ["/v2/a-/tags/list", "NAME_INVALID"],
  [`/v2/${"a".repeat(256)}/tags/list`, "NAME_INVALID"],
  [`/v2/${"a".repeat(5000)}/tags/list`, "NAME_INVALID"],
  ["/v2/app/manifests/", "MANIFEST_INVALID"],
  ["/v2/app/manifests/.hidden", "MANIFEST_INVALID"],
  ["/v2/app/manifests/-dash", "MANIFEST_INVALID"],
  ["/v2/app/manifests/a+b", "MANIFEST_INVALID"],
  [`/v2/app/manifests/${"a".repeat(129)}`, "MANIFEST_INVALID"],
  ["/v2/app/manifests/sha256:abc", "DIGEST_INVALID"],
  [`/v2/app/manifests/sha256:${"A".repeat(64)}`, "DIGEST_INVALID"],
  [`/v2/app/manifests/md5:${"a".repeat(32)}`, "DIGEST_INVALID"],
  ["/v2/app/blobs/", "DIGEST_INVALID"],
  ["/v2/app/blobs/latest", "DIGEST_INVALID"],
  [`/v2/app/blobs/${sha256}0`, "DIGEST_INVALID"],
  ["/v2/app/referrers/latest", "DIGEST_INVALID"],
  ["/v2/app/blobs/uploads/not-a-session", "BLOB_UPLOAD_UNKNOWN"],
  [`/v2/app/blobs/uploads/${session.toUpperCase()}`, "BLOB_UPLOAD_UNKNOWN"],
  ["/v2/App/blobs/uploads/", "NAME_INVALID"],
];

function isSound(parsed: ReturnType<typeof parseV2Path>): boolean {
  if (parsed.kind === "invalid") return parsed.message !== "";
  if (parsed.kind === "manifest" && "tag" in parsed.reference && !isTag(parsed.reference.tag)) return false;
  return !("name" in parsed) || isRepositoryName(parsed.name);
}

describe("parseV2Path", () => {
  test.each(good)("%s", (path, expected) => {
    expect(parseV2Path(path)).toEqual(expected);
  });

  test.each(bad)("%s is refused", (path, code) => {
    expect(parseV2Path(path)).toMatchObject({ kind: "invalid", code });
  });

  test("every name of the grammar is found again, whatever words it has", () => {
    const word = fc.constantFrom("tags", "list", "manifests", "blobs", "uploads", "referrers", "a", "v2", "x-y", "a.b", "a__b", "0");
    const name = fc.array(word, { minLength: 1, maxLength: 8 }).map((words) => words.join("/"));
    fc.assert(
      fc.property(name, fc.stringMatching(/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}$/), (name, tag) => {
        expect(parseV2Path(`/v2/${name}/tags/list`)).toEqual({ kind: "tags", name });
        expect(parseV2Path(`/v2/${name}/manifests/${tag}`)).toEqual({ kind: "manifest", name, reference: { tag } });
        expect(parseV2Path(`/v2/${name}/blobs/${sha256}`)).toEqual({ kind: "blob", name, digest: sha256 });
        expect(parseV2Path(`/v2/${name}/blobs/uploads/`)).toEqual({ kind: "uploads", name });
        expect(parseV2Path(`/v2/${name}/blobs/uploads/${session}`)).toEqual({ kind: "upload", name, session });
        expect(parseV2Path(`/v2/${name}/referrers/${sha512}`)).toEqual({ kind: "referrers", name, digest: sha512 });
      }),
    );
  });

  test("whatever comes, what it gives is inside the grammar", () => {
    const piece = fc.oneof(
      fc.constantFrom("..", ".", "%2f", "%00", "%25", "//", "tags/list", "manifests/", "blobs/", "uploads/", "A", "\u0000", "é", sha256),
      fc.string(),
    );
    fc.assert(
      fc.property(fc.array(piece), (pieces) => {
        expect(isSound(parseV2Path(`/v2/${pieces.join("/")}`))).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });
});
