// Lists that registries give in pages: followed to their end, within limits, whatever upstream sends.

import type { Priority } from "./budget.ts";
import { UpstreamError } from "./errors.ts";
import { discard, readWhole } from "./exchange.ts";
import { following } from "./links.ts";
import type { Requester } from "./requester.ts";

const maxPageBytes = 8 * 1024 * 1024;
/** Milliseconds for all pages of a list. */
const listTime = 60_000;

/** What one list may cost, whatever upstream sends: who asks for it may be anonymous. */
export interface ListLimits {
  readonly entries: number;
  readonly bytes: number;
  /** Some registries give 50 a page, whatever they are asked for. */
  readonly pages: number;
}

/** A page of tags or referrers, unchecked. */
interface Page {
  readonly tags?: unknown;
  readonly manifests?: unknown;
}

interface List {
  readonly repository: string;
  /** First page, behind the name of the repository. */
  readonly start: string;
  readonly priority: Priority;
  readonly headers: Readonly<Record<string, string>>;
  readonly limits: ListLimits;
  /** The first page has this status: upstream has no such list. */
  readonly isAbsent: (status: number) => boolean;
}

interface ListPage {
  readonly content: Page;
  readonly bytes: number;
  readonly next: string | undefined;
}

export class RemoteLists {
  readonly #requester: Requester;
  readonly #listTime: number;

  /** `listTime`: milliseconds for all pages of a list. */
  constructor(requester: Requester, options: { readonly listTime?: number }) {
    this.#requester = requester;
    this.#listTime = options.listTime ?? listTime;
  }

  /**
   * Follows Link to the very end and collects what `entriesOf` finds in each page. Undefined: there is no such list, by the first page. A later
   * page that cannot be had fails the list: a short one would look whole.
   */
  async all(list: List, entriesOf: (page: Page) => readonly unknown[] | undefined): Promise<unknown[] | undefined> {
    const { repository, start, limits } = list;
    const deadline = Date.now() + this.#listTime;
    const all: unknown[] = [];
    let bytes = 0;
    let path: string | undefined = `/v2/${repository}/${start}`;
    for (let index = 0; path !== undefined; index++) {
      if (index === limits.pages) throw this.#tooLong(list, `${limits.pages} pages`);
      const maxBytes = Math.min(maxPageBytes, limits.bytes - bytes);
      const page: ListPage | undefined = await this.#page(list, path, { deadline, maxBytes, first: index === 0 });
      const entries = page && entriesOf(page.content);
      if (page === undefined || entries === undefined) {
        if (index === 0) return undefined;
        throw this.#brokenOff(list, "ends with a page that is no list");
      }
      bytes += page.bytes;
      if (all.length + entries.length > limits.entries) throw this.#tooLong(list, `${limits.entries} entries`);
      // Not push(...entries): every argument takes a place on the stack.
      for (const entry of entries) all.push(entry);
      path = page.next;
    }
    return all;
  }

  /** Undefined: upstream has no such list. */
  async #page(
    list: List,
    path: string,
    limits: { readonly deadline: number; readonly maxBytes: number; readonly first: boolean },
  ): Promise<ListPage | undefined> {
    const { repository, priority } = list;
    const { target } = this.#requester;
    if (Date.now() >= limits.deadline) throw this.#tookTooLong(list);
    const answer = await this.#requester.request({ method: "GET", repository, path, headers: list.headers, priority });
    if (answer.status !== 200) {
      discard(answer.body);
      if (limits.first && list.isAbsent(answer.status)) return undefined;
      throw this.#brokenOff(list, limits.first ? `is answered with ${answer.status}` : `breaks off with ${answer.status}`);
    }
    // The pages before this one have had their part of the time.
    const timer = setTimeout(() => answer.body.destroy(this.#tookTooLong(list)), Math.max(0, limits.deadline - Date.now()));
    try {
      const body = await readWhole(target, answer, limits.maxBytes);
      const next = following(answer.headers["link"], new URL(path, target.url));
      if (next === "Unusable") throw this.#brokenOff(list, "goes on by a Link that cannot be followed");
      return { content: this.#json(body, path), bytes: body.byteLength, next: next.path };
    } finally {
      clearTimeout(timer);
    }
  }

  #brokenOff({ repository, start }: List, how: string): UpstreamError {
    return new UpstreamError("UnexpectedAnswer", `the list of ${nameOf(start)} of ${repository} at ${this.#host} ${how}`);
  }

  #tooLong({ repository, start }: List, limit: string): UpstreamError {
    return new UpstreamError(
      "TooLarge",
      `${this.#host} answers ${nameOf(start)} of ${repository} with more than ${limit}, the most that is read`,
    );
  }

  #tookTooLong({ repository, start }: List): UpstreamError {
    return new UpstreamError("Timeout", `${this.#host} did not list ${nameOf(start)} of ${repository} within ${this.#listTime / 1000} s`);
  }

  #json(body: Buffer, path: string): Page {
    try {
      return (JSON.parse(body.toString("utf8")) as Page | null) ?? {};
    } catch {
      throw new UpstreamError("UnexpectedAnswer", `${this.#host} answers ${path.replace(/\?.*$/, "")} with something that is not JSON`);
    }
  }

  get #host(): string {
    return this.#requester.target.url.host;
  }
}

/** `tags` of `tags/list?n=1000`. */
const nameOf = (start: string) => start.replace(/\/.*$/, "");
