// Validators of what never changes under its digest (RFC 9110, section 13): the digest is the strong ETag.

import type { OutgoingHttpHeaders } from "node:http";

import type { Digest } from "../../../domain/digest.ts";
import { headers } from "../../../domain/media-types.ts";

const forever = "max-age=31536000, immutable";

/** `byDigest` false: reached by a tag, which may point elsewhere the next moment. */
export function contentHeaders(digest: Digest, options: { byDigest: boolean }): OutgoingHttpHeaders {
  return {
    [headers.contentDigest]: digest,
    etag: `"${digest}"`,
    "cache-control": options.byDigest ? forever : "no-cache",
  };
}

/** Whether `If-None-Match` names what would be sent. Weak comparison, as for every GET. */
export function isUnchanged(ifNoneMatch: string | undefined, digest: Digest): boolean {
  if (ifNoneMatch === undefined) return false;
  if (ifNoneMatch.trim() === "*") return true;
  return ifNoneMatch.split(",").some((tag) => tag.trim().replace(/^W\//, "") === `"${digest}"`);
}

/** Whether a Range counts: `If-Range` must name exactly what would be sent. A date never does, nothing here has one. */
export function rangeCounts(ifRange: string | undefined, digest: Digest): boolean {
  return ifRange === undefined || ifRange.trim() === `"${digest}"`;
}
