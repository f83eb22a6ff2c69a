// A list that is kept current: listed whole, watched on from there, listed again now and then.
//
// The client library's own informer ends at the first error of a list and lets a handler's mistake end the process. This one goes on whatever
// comes: what it knows stays until something newer is known, and listeners hear that something changed, never what. A watch is asked for for
// `watchFor`; the server says its newest version before that and ends it, so a connection on which nothing comes for longer is dead.

import { setTimeout as sleep } from "node:timers/promises";

import type { Logger } from "../../observability/logger.ts";
import { errorOf, KubeError } from "./errors.ts";
import { keptMetadata } from "./kept-metadata.ts";
import type { KubeClient } from "./kube-client.ts";
import type { KubeObject } from "./objects.ts";

export interface InformerTimes {
  /** Seconds that one watch lasts. */
  readonly watchFor: number;
  /** Everything in milliseconds: until a silent connection is given up. */
  readonly silence: number;
  /** Between two whole lists of one page. */
  readonly relist: number;
  /** First and longest pause after a failure; it doubles, and half of it is chance. */
  readonly firstPause: number;
  readonly longestPause: number;
}

const defaultTimes: InformerTimes = { watchFor: 15, silence: 20_000, relist: 600_000, firstPause: 250, longestPause: 10_000 };
/** Objects of one page. */
const pageSize = 500;
/** A list of many pages is rare, but not rarer than this, milliseconds. */
const longestRelist = 6 * 3_600_000;
/** A watch that the server ends sooner than this, milliseconds, is no rest. */
const shortWatch = 1_000;
/** So many failures in a row: what is known may be what is wrong. */
const patience = 5;

export interface InformerOptions<T extends KubeObject> {
  readonly client: KubeClient;
  /** Of the collection, in one namespace. */
  readonly path: string;
  /** For example `application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1`. */
  readonly accept?: string;
  /** Only objects with these labels, for example `app=web`. */
  readonly labelSelector?: string;
  /** What is kept of an object. */
  readonly keep?: (object: T) => T;
  readonly logger: Logger;
  readonly times?: Partial<InformerTimes>;
}

interface Page<T> {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
  /** An empty list of metadata has null. */
  readonly items: readonly T[] | null;
}

interface WatchEvent<T> {
  readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK" | "ERROR";
  readonly object: T;
}

export class Informer<T extends KubeObject> {
  readonly path: string;
  /** The first whole list is there. */
  readonly synced: Promise<void>;
  /** The same, or the server has refused it: waiting longer brings nothing. */
  readonly answered: Promise<void>;
  readonly #options: InformerOptions<T>;
  readonly #times: InformerTimes;
  readonly #abort = new AbortController();
  readonly #listeners = new Set<() => void>();
  readonly #done: { synced: () => void; answered: () => void };
  #items = new Map<string, T>();
  /** Where a watch goes on; undefined: only a list tells. */
  #version: string | undefined;
  #listedAt = -Infinity;
  #heardAt = performance.now();
  #relistAfter = 0;
  #problem: KubeError | undefined;
  #complete = false;
  #failures = 0;
  #loop: Promise<void> = Promise.resolve();

  constructor(options: InformerOptions<T>) {
    this.path = options.path;
    this.#options = options;
    this.#times = { ...defaultTimes, ...options.times };
    const [synced, answered] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    this.synced = synced.promise;
    this.answered = answered.promise;
    this.#done = { synced: synced.resolve, answered: answered.resolve };
  }

  /** By name; it changes under whoever keeps it. */
  get items(): ReadonlyMap<string, T> {
    return this.#items;
  }

  /** false: not listed yet, or the last list was refused. Then what is missing is not known to be gone. */
  get complete(): boolean {
    return this.#complete;
  }

  /** Why the list was refused. */
  get problem(): KubeError | undefined {
    return this.#problem;
  }

  /** Milliseconds since the server was last heard. */
  get staleFor(): number {
    return performance.now() - this.#heardAt;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  start(): void {
    this.#loop = this.#run();
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#loop;
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort;
    while (!signal.aborted) {
      try {
        if (this.#version === undefined || performance.now() - this.#listedAt > this.#relistAfter) await this.#list();
        const began = performance.now();
        await this.#watch();
        if (performance.now() - began >= shortWatch) this.#failures = 0;
        else await this.#pause(undefined);
      } catch (error) {
        if (signal.aborted) return;
        this.#failed(error);
        await this.#pause(error instanceof KubeError ? error.retryAfter : undefined);
      }
    }
  }

  /** Half of a pause is chance: many operators and lists must not come back in the same instant. */
  async #pause(atLeast: number | undefined): Promise<void> {
    const { firstPause, longestPause } = this.#times;
    const whole = Math.min(firstPause * 2 ** Math.min(this.#failures, 16), longestPause);
    this.#failures++;
    const pause = Math.max(Math.min(atLeast ?? 0, longestPause), whole * (0.5 + Math.random() / 2));
    await sleep(pause, undefined, { signal: this.#abort.signal }).catch(() => undefined);
  }

  #failed(error: unknown): void {
    const { logger } = this.#options;
    const answered = error instanceof KubeError && error.status !== 0;
    logger.debug({ path: this.path, error: String(error) }, "a list or watch of the API server ended");
    // A busy or an unreachable server has not forgotten the version; whatever else it said, a list settles it.
    if ((answered && !error.busy) || this.#failures >= patience) this.#version = undefined;
    if (!answered || !error.refused) return;
    const news = this.#complete || this.#problem?.message !== error.message;
    this.#problem = error;
    this.#complete = false;
    this.#done.answered();
    if (news) this.#tell();
  }

  async #list(): Promise<void> {
    const { client, accept } = this.#options;
    const found = new Map<string, T>();
    let page: Page<T> | undefined;
    let pages = 0;
    do {
      const next = page?.metadata.continue;
      page = await client.send<Page<T>>({
        path: this.path,
        query: { ...this.#selector(), limit: String(pageSize), ...(next === undefined ? {} : { continue: next }) },
        ...(accept === undefined ? {} : { accept: accept.replace("PartialObjectMetadata;", "PartialObjectMetadataList;") }),
        signal: this.#abort.signal,
      });
      pages++;
      for (const item of page.items ?? []) found.set(item.metadata.name, this.#kept(item));
    } while ((page.metadata.continue ?? "") !== "");
    const news = !this.#complete || !sameVersions(found, this.#items);
    this.#heard();
    this.#items = found;
    this.#version = page.metadata.resourceVersion;
    this.#listedAt = performance.now();
    this.#relistAfter = relistIn(this.#times.relist, pages);
    this.#problem = undefined;
    this.#complete = true;
    this.#done.synced();
    this.#done.answered();
    if (news) this.#tell();
  }

  async #watch(): Promise<void> {
    const { client, accept } = this.#options;
    const lines = client.lines({
      path: this.path,
      query: {
        ...this.#selector(),
        watch: "true",
        allowWatchBookmarks: "true",
        resourceVersion: this.#version ?? "",
        timeoutSeconds: String(this.#times.watchFor),
      },
      ...(accept === undefined ? {} : { accept }),
      silence: this.#times.silence,
      opened: () => this.#heard(),
      signal: this.#abort.signal,
    });
    for await (const line of lines) {
      this.#heard();
      this.#take(JSON.parse(line) as WatchEvent<T>, line);
    }
    this.#heard();
  }

  #selector(): Readonly<Record<string, string>> {
    const { labelSelector } = this.#options;
    return labelSelector === undefined ? {} : { labelSelector };
  }

  #take({ type, object }: WatchEvent<T>, line: string): void {
    if (type === "ERROR") throw errorOf(500, JSON.stringify((JSON.parse(line) as { object: unknown }).object));
    this.#failures = 0;
    this.#version = object.metadata.resourceVersion ?? this.#version;
    if (type === "BOOKMARK") return;
    if (type === "DELETED") this.#items.delete(object.metadata.name);
    else this.#items.set(object.metadata.name, this.#kept(object));
    this.#tell();
  }

  #kept(object: T): T {
    const kept = { ...object, metadata: keptMetadata(object.metadata) };
    return this.#options.keep?.(kept) ?? kept;
  }

  #heard(): void {
    this.#heardAt = performance.now();
  }

  /** A listener's mistake is the listener's. */
  #tell(): void {
    for (const listener of this.#listeners) {
      try {
        listener();
      } catch (error) {
        this.#options.logger.error({ err: error }, "a listener of a watch failed");
      }
    }
  }
}

/**
 * Milliseconds until the next whole list. An API server reads all that is in a page, also where only names are asked for: of fifty thousand Secrets
 * that is a hundred times the work of a few hundred resources, so they are listed a hundred times as rarely.
 */
export function relistIn(relist: number, pages: number): number {
  return Math.min(relist * pages, Math.max(relist, longestRelist)) * (0.8 + Math.random() * 0.4);
}

function sameVersions<T extends KubeObject>(left: ReadonlyMap<string, T>, right: ReadonlyMap<string, T>): boolean {
  return (
    left.size === right.size &&
    [...left].every(([name, { metadata }]) => right.get(name)?.metadata.resourceVersion === metadata.resourceVersion)
  );
}
