// Lists (distribution spec, "Listing Tags", and the catalog): sorted bytewise, in keyset pages, with a relative Link to the next one.

import type { OutgoingHttpHeaders } from "node:http";

import { turns } from "../../../domain/turns.ts";
import { jsonAnswer, type Answer } from "../answer.ts";
import { HttpError } from "../errors.ts";
import type { Exchange, PathOf, RepositoryExchange } from "./exchange.ts";

/** Where the catalog reads names: all repositories, own and cached, sorted bytewise; `after` is exclusive. */
export interface RepositoryNames {
  names(page: { readonly limit: number; readonly after?: string }): Promise<{ readonly names: readonly string[]; readonly more: boolean }>;
}

/** Most entries of a page; clients that ask for more get a Link. */
const largestPage = 1000;
/** No name and no tag is longer. */
const longestName = 255;

interface Page {
  readonly limit: number;
  readonly after?: string;
}

/** Told how many bytes a list that is made for one request has so far. Throws ServiceError UNAVAILABLE when there is no room for them. */
export type Hold = (bytes: number) => void;

export async function listTags({ path, query, repository, caller }: RepositoryExchange<PathOf<"tags">>, hold: Hold): Promise<Answer> {
  const page = parsePage(query);
  const { tags, more } = await repository.pull.tags(repository.name, caller, { ...page, limit: Math.max(page.limit, 1) });
  // Asked even for nothing, so that n=0 of an unknown repository is still 404.
  const shown = page.limit === 0 ? [] : tags;
  return listAnswer(
    { name: path.name, tags: shown },
    { url: `/v2/${path.name}/tags/list`, query, page, last: more ? shown.at(-1) : undefined, hold },
  );
}

/** Only what the caller may pull. Others have their turn between two names. */
export async function listRepositories({ query, identity, rights }: Exchange, catalog: RepositoryNames, hold: Hold): Promise<Answer> {
  const page = parsePage(query);
  const repositories: string[] = [];
  let { after } = page;
  let more = page.limit > 0;
  const turn = turns();
  while (more && repositories.length <= page.limit) {
    const found = await catalog.names({ limit: largestPage, ...(after === undefined ? {} : { after }) });
    for (const name of found.names) {
      await turn();
      if (rights.may(identity, "pull", name)) repositories.push(name);
    }
    after = found.names.at(-1);
    more = found.more;
  }
  const shown = repositories.slice(0, page.limit);
  const last = repositories.length > shown.length ? shown.at(-1) : undefined;
  return listAnswer({ repositories: shown }, { url: "/v2/_catalog", query, page, last, hold });
}

/** `last` undefined: nothing follows. */
function listAnswer(
  body: unknown,
  options: { url: string; query: URLSearchParams; page: Page; last: string | undefined; hold: Hold },
): Answer {
  const { url, query, page, last, hold } = options;
  const answer = jsonAnswer(body, last === undefined ? {} : { headers: nextLink(url, query, { n: String(page.limit), last }) });
  hold(answer.body?.byteLength ?? 0);
  return answer;
}

/** The relative Link to the next page; a node that asks with `ns` asks for that one with it too. */
export function nextLink(url: string, query: URLSearchParams, parameters: Readonly<Record<string, string>>): OutgoingHttpHeaders {
  const next = new URLSearchParams(parameters);
  const namespace = query.get("ns");
  if (namespace !== null) next.set("ns", namespace);
  return { link: `<${url}?${next.toString()}>; rel="next"` };
}

function parsePage(query: URLSearchParams): Page {
  const n = query.get("n");
  const last = query.get("last") ?? "";
  if (n !== null && !/^\d{1,9}$/.test(n)) {
    throw new HttpError("PAGINATION_NUMBER_INVALID", "n is not a number of entries: give 0 or more, or leave it out.");
  }
  if (last.length > longestName || last.includes("\0")) {
    throw new HttpError("PAGINATION_NUMBER_INVALID", "last is not an entry of this list: take it from the Link of the page before.");
  }
  return { limit: Math.min(n === null ? largestPage : Number(n), largestPage), ...(last === "" ? {} : { after: last }) };
}
