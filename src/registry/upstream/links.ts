// `Link: </v2/x/tags/list?last=b&n=2>; rel="next"` (RFC 8288, as the distribution spec pages). Path and query only: the host is always the Upstream's own.

/** Path and query of the next page; undefined when there is none, or when it leaves /v2/. */
export function nextPage(header: string | string[] | undefined, current: URL): string | undefined {
  const text = Array.isArray(header) ? header.join(", ") : (header ?? "");
  const match = /<([^<>]{1,4096})>\s*;[^<]*\brel\s*=\s*"?next"?/i.exec(text);
  if (match === null) return undefined;
  const next = URL.parse(match[1] ?? "", current.href);
  if (next === null || !next.pathname.startsWith("/v2/")) return undefined;
  return next.pathname + next.search;
}

/** What follows a page: nothing, `path` (with its query), or something that cannot be asked for: outside /v2/, unreadable, or this page again. */
export type Following = { readonly path: string | undefined } | "Unusable";

/** Who takes "Unusable" for the end has a short list that looks whole. */
export function following(header: string | string[] | undefined, current: URL): Following {
  const path = nextPage(header, current);
  const stated = Array.isArray(header) ? header.join(", ") : (header ?? "");
  const unusable = path === undefined ? /\brel\s*=\s*"?next/i.test(stated) : path === current.pathname + current.search;
  return unusable ? "Unusable" : { path };
}
