// Lists of a running registry in pages (distribution spec, "Listing Tags", "Listing Referrers"; distribution's catalog), to their very end: a page
// that fails in the middle fails the list, since what is left out here would be lost.

import { discard, readWhole } from "../registry/upstream/exchange.ts";
import { following } from "../registry/upstream/links.ts";
import type { Requester } from "../registry/upstream/requester.ts";
import { SourceError } from "./import-source.ts";

const maxPageBytes = 64 * 1024 * 1024;
const pageSize = 1000;

export interface ListRequest {
  readonly repository: string;
  /** From `/`, without a query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** The pages as they come; undefined instead of the first one: the registry has no such list. Rejects with UpstreamError and SourceError. */
export async function* pages(requester: Requester, list: ListRequest): AsyncGenerator<Readonly<Record<string, unknown>> | undefined> {
  const host = requester.target.url.host;
  let path: string | undefined = `${list.path}?n=${pageSize}`;
  // Some allow fewer entries a page than that, and say so with 400.
  let sized = true;
  for (let first = true; path !== undefined;) {
    const answer = await requester.request({ method: "GET", priority: "pull", ...list, path });
    if (answer.status === 400 && first && sized) {
      discard(answer.body);
      [path, sized] = [list.path, false];
      continue;
    }
    if (answer.status !== 200) {
      discard(answer.body);
      if (!first) throw new SourceError("Failing", `${host} answers ${answer.status} in the middle of the list ${list.path}`);
      return yield undefined;
    }
    const page = parse(await readWhole(requester.target, answer, maxPageBytes));
    if (page === undefined) throw new SourceError("Failing", `${host} answers ${list.path} with something that is not a list`);
    yield page;
    first = false;
    path = nextOf(answer.headers["link"], new URL(path, requester.target.url));
  }
}

/** Path and query of the next page. Throws SourceError when there is one that cannot be asked for. */
function nextOf(link: string | string[] | undefined, current: URL): string | undefined {
  const next = following(link, current);
  if (next === "Unusable") throw new SourceError("Unusable", `${current.host} pages ${current.pathname} by a Link that cannot be followed`);
  return next.path;
}

function parse(body: Buffer): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(body.toString("utf8"));
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
