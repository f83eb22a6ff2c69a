// One parser for every path under /v2 (distribution spec, "Endpoints"). Names have any number of segments, so the kind of a request is
// read from the end of the path, never from its depth: /v2/tags/list/tags/list lists the tags of the repository `tags/list`.

import { parseDigest, type Digest } from "./digest.ts";
import { isRepositoryName, isTag, maxNameLength, type Reference } from "./reference.ts";
import { isUuid } from "./uuid.ts";

export type V2Path =
  | { readonly kind: "base" }
  | { readonly kind: "catalog" }
  | { readonly kind: "tags"; readonly name: string }
  | { readonly kind: "manifest"; readonly name: string; readonly reference: Reference }
  | { readonly kind: "blob"; readonly name: string; readonly digest: Digest }
  | { readonly kind: "uploads"; readonly name: string }
  | { readonly kind: "upload"; readonly name: string; readonly session: string }
  | { readonly kind: "referrers"; readonly name: string; readonly digest: Digest };

/** Why a path names nothing: codes of the distribution spec, `NOT_FOUND` where the path is no endpoint at all. */
export interface V2PathProblem {
  readonly kind: "invalid";
  readonly code: "NAME_INVALID" | "DIGEST_INVALID" | "MANIFEST_INVALID" | "BLOB_UPLOAD_UNKNOWN" | "NOT_FOUND";
  readonly message: string;
}

/** Longer paths cannot name anything: prefix, name, the longest digest and the words between them. */
const maxPathLength = 1024;

/** Parses the path of a request target as it came over the wire: no query, not decoded, from `/v2` on. */
export function parseV2Path(path: string): V2Path | V2PathProblem {
  const decoded = decodeOnce(path);
  if (typeof decoded !== "string") return decoded;
  if (decoded === "/v2" || decoded === "/v2/") return { kind: "base" };
  if (!decoded.startsWith("/v2/")) return notFound();
  const segments = decoded.slice("/v2/".length).split("/");
  if (segments.length === 1 && segments[0] === "_catalog") return { kind: "catalog" };
  return parseEnd(segments);
}

function parseEnd(segments: readonly string[]): V2Path | V2PathProblem {
  const last = segments.at(-1) ?? "";
  const before = segments.at(-2) ?? "";
  if (before === "blobs" && last === "uploads") return named(segments.slice(0, -2), (name) => ({ kind: "uploads", name }));
  if (before === "uploads" && segments.at(-3) === "blobs") {
    return named(segments.slice(0, -3), (name) => (last === "" ? { kind: "uploads", name } : upload(name, last)));
  }
  const name = segments.slice(0, -2);
  switch (before) {
    case "tags":
      return last === "list" ? named(name, (name) => ({ kind: "tags", name })) : notFound();
    case "manifests":
      return named(name, (name) => manifest(name, last));
    case "blobs":
      return named(name, (name) => withDigest(last, (digest) => ({ kind: "blob", name, digest })));
    case "referrers":
      return named(name, (name) => withDigest(last, (digest) => ({ kind: "referrers", name, digest })));
    default:
      return notFound();
  }
}

function manifest(name: string, text: string): V2Path | V2PathProblem {
  // A colon is in no tag: whoever wrote one meant a digest.
  if (text.includes(":")) return withDigest(text, (digest) => ({ kind: "manifest", name, reference: { digest } }));
  if (isTag(text)) return { kind: "manifest", name, reference: { tag: text } };
  return {
    kind: "invalid",
    code: "MANIFEST_INVALID",
    message: "The tag is not one: 1 to 128 letters, digits, underscores, periods and dashes, not beginning with a period or dash.",
  };
}

function upload(name: string, session: string): V2Path | V2PathProblem {
  if (isUuid(session)) return { kind: "upload", name, session };
  return {
    kind: "invalid",
    code: "BLOB_UPLOAD_UNKNOWN",
    message: "There is no such upload. Begin again with POST /v2/<name>/blobs/uploads/.",
  };
}

function withDigest(text: string, then: (digest: Digest) => V2Path): V2Path | V2PathProblem {
  const digest = parseDigest(text);
  return digest === undefined ? { kind: "invalid", code: "DIGEST_INVALID", message: digestMessage } : then(digest);
}

/** What every refusal of a malformed digest says. */
export const digestMessage =
  "The digest is not one that this registry can verify: sha256:<64 lower-case hexadecimal digits> or sha512:<128 of them>.";

function named(segments: readonly string[], then: (name: string) => V2Path | V2PathProblem): V2Path | V2PathProblem {
  const name = segments.join("/");
  if (isRepositoryName(name)) return then(name);
  return { kind: "invalid", code: "NAME_INVALID", message: nameMessage };
}

/** What every refusal of a malformed repository name says. */
export const nameMessage = `The repository name is not one: lower-case letters, digits and single separators (. _ __ -) in segments divided by "/", at most ${maxNameLength} characters.`;

/** Decoded exactly once: what is still encoded afterwards is outside every grammar here. A separator or NUL in disguise is refused. */
function decodeOnce(path: string): string | V2PathProblem {
  if (path.length > maxPathLength) return { kind: "invalid", code: "NAME_INVALID", message: nameMessage };
  if (!path.includes("%")) return path;
  if (/%(?:2f|5c|00)/i.test(path)) return { kind: "invalid", code: "NAME_INVALID", message: nameMessage };
  try {
    return decodeURIComponent(path);
  } catch {
    return { kind: "invalid", code: "NAME_INVALID", message: "The path is not valid percent-encoded UTF-8." };
  }
}

function notFound(): V2PathProblem {
  return { kind: "invalid", code: "NOT_FOUND", message: "There is no such endpoint in the distribution API." };
}
