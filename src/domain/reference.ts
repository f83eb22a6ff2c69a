// Names, tags and references by the grammar of the distribution spec ("Pulling manifests").

import { isDigest, type Digest } from "./digest.ts";

const nameSegment = "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*";
const namePattern = new RegExp(`^${nameSegment}(?:/${nameSegment})*$`);
const tagPattern = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;

/** Longest repository name served, prefix included. Many clients limit host and name together to 255 characters. */
export const maxNameLength = 255;

export function isRepositoryName(text: string): boolean {
  return text.length <= maxNameLength && namePattern.test(text);
}

export function isTag(text: string): boolean {
  return tagPattern.test(text);
}

/** What a client may put after `/manifests/`. */
export type Reference = { readonly tag: string } | { readonly digest: Digest };

/** The reference in `text`, or undefined when it is neither a tag nor a digest. */
export function parseReference(text: string): Reference | undefined {
  if (isDigest(text)) return { digest: text };
  return isTag(text) ? { tag: text } : undefined;
}

export function formatReference(reference: Reference): string {
  return "tag" in reference ? reference.tag : reference.digest;
}

/** The first path segment: what decides whether a repository is our own or an Upstream's. */
export function prefixOf(name: string): string {
  const slash = name.indexOf("/");
  return slash < 0 ? name : name.slice(0, slash);
}

/**
 * Tags that cosign and the referrers fallback use for what belongs to a digest: `sha256-<hex>` and `sha256-<hex>.<suffix>`.
 * Returns the digest they follow, or undefined for ordinary tags.
 */
export function digestOfReferrerTag(tag: string): Digest | undefined {
  const match = /^(sha256|sha512)-([0-9a-f]+)(?:\.[a-zA-Z0-9._-]+)?$/.exec(tag);
  if (match === null) return undefined;
  const digest = `${match[1]}:${match[2]}`;
  return isDigest(digest) ? digest : undefined;
}
