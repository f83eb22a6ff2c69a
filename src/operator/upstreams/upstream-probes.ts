// Asks the registry to probe Upstreams, so that Reachable says something before anybody pulls: those that are new or changed, those that a person
// asks about, and, more and more rarely, those that did not answer. Never more than a few a second, however many there are.

import { reasons } from "../../api/conditions.ts";
import type { UpstreamView } from "../../api/control/contents.ts";
import type { ControlClient } from "../../client/control-client.ts";
import type { Logger } from "../../observability/logger.ts";
import type { ProbeWish } from "./probe-wishes.ts";

/** Milliseconds, but for `atOnce`. */
export interface ProbePace {
  /** Probes under way. */
  readonly atOnce: number;
  /** Between the beginnings of two: five a second are five hundred in two minutes. */
  readonly between: number;
  /** Until one that did not answer is asked again; doubled each time up to `longestPause`. */
  readonly firstPause: number;
  readonly longestPause: number;
  /** Until the registry is asked again that did not answer itself, or does not know the Upstream as it is now yet. */
  readonly registryPause: number;
}

const defaultPace: ProbePace = { atOnce: 4, between: 200, firstPause: 30_000, longestPause: 600_000, registryPause: 5_000 };

export interface UpstreamProbesOptions {
  readonly client: Pick<ControlClient, "probe">;
  /** What is known of them; undefined: the registry was not heard yet. */
  readonly known: () => ReadonlyMap<string, UpstreamView> | undefined;
  readonly heard: (view: UpstreamView) => void;
  /** A request of a person is done. */
  readonly answered: () => void;
  readonly logger: Logger;
  readonly pace?: Partial<ProbePace>;
}

interface Upstream {
  wish: ProbeWish;
  /** The question that was answered last. */
  answer: ProbeWish | undefined;
  probing: boolean;
  /** Not before, by the clock of `performance`. */
  registryFrom: number;
  from: number;
  pause: number;
}

export class UpstreamProbes {
  readonly #options: UpstreamProbesOptions;
  readonly #pace: ProbePace;
  readonly #abort = new AbortController();
  readonly #upstreams = new Map<string, Upstream>();
  readonly #probing = new Set<Promise<void>>();
  #nextFrom = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: UpstreamProbesOptions) {
    this.#options = options;
    this.#pace = { ...defaultPace, ...options.pace };
  }

  /** All that are served, as they are now. */
  want(wishes: readonly ProbeWish[]): void {
    const wanted = new Set(wishes.map(({ key }) => key));
    for (const key of this.#upstreams.keys()) if (!wanted.has(key)) this.#upstreams.delete(key);
    for (const wish of wishes) {
      const upstream = this.#upstreams.get(wish.key);
      if (upstream === undefined)
        this.#upstreams.set(wish.key, { wish, answer: undefined, probing: false, registryFrom: 0, from: 0, pause: 0 });
      else upstream.wish = wish;
    }
    this.#go();
  }

  /** Whether a person's request is still to be done. */
  awaits(key: string, requestedAt: string): boolean {
    const upstream = this.#upstreams.get(key);
    return upstream?.wish.requestedAt === requestedAt && upstream.answer?.requestedAt !== requestedAt;
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    clearTimeout(this.#timer);
    await Promise.all(this.#probing);
  }

  /** Begins what is due and may begin, and comes again when the next one may. */
  #go(): void {
    const views = this.#options.known();
    if (views === undefined || this.#abort.signal.aborted) return;
    clearTimeout(this.#timer);
    const now = performance.now();
    const waiting = [...this.#upstreams.values()].flatMap((upstream) => {
      const view = views.get(upstream.wish.key);
      adopt(upstream, view);
      const due = upstream.probing ? undefined : dueOf(upstream, view);
      return due === undefined ? [] : [{ upstream, ...due }];
    });
    const ready = waiting.filter(({ from }) => from <= now).sort((a, b) => a.rank - b.rank);
    const [first] = ready;
    if (first !== undefined && this.#nextFrom <= now && this.#probing.size < this.#pace.atOnce) {
      this.#nextFrom = now + this.#pace.between;
      if (first.rank !== again) first.upstream.pause = 0;
      this.#begin(first.upstream);
      return this.#go();
    }
    // Whoever ends a probe comes here too.
    if (waiting.length === 0 || this.#probing.size >= this.#pace.atOnce) return;
    const next = ready.length > 0 ? this.#nextFrom : Math.min(...waiting.map(({ from }) => from));
    this.#timer = setTimeout(() => this.#go(), Math.max(next - now, 1)).unref();
  }

  #begin(upstream: Upstream): void {
    upstream.probing = true;
    const probe = this.#probe(upstream).finally(() => {
      upstream.probing = false;
      this.#probing.delete(probe);
      this.#go();
    });
    this.#probing.add(probe);
  }

  async #probe(upstream: Upstream): Promise<void> {
    const { wish } = upstream;
    const { client, heard, answered, logger } = this.#options;
    const { signal } = this.#abort;
    try {
      const view = await client.probe(wish.key, { signal });
      // Another process of the registry has published it, and this one reads it within a second.
      if (view.generation < wish.generation) return this.#waitForRegistry(upstream);
      this.#rest(upstream);
      upstream.answer = { ...wish, secrets: wish.secrets ?? upstream.answer?.secrets ?? "" };
      heard(view);
      if (wish.requestedAt !== undefined) answered();
    } catch (error) {
      this.#waitForRegistry(upstream);
      // Of a registry that is silent the rounds tell.
      if (!signal.aborted) logger.debug({ error: String(error) }, `upstream ${wish.key} was not probed; it is tried again`);
    }
  }

  #waitForRegistry(upstream: Upstream): void {
    upstream.registryFrom = performance.now() + this.#pace.registryPause;
  }

  /** Longer each time, unless it went well for long: also one that answers a probe and nobody else is not asked on and on. */
  #rest(upstream: Upstream): void {
    const { firstPause, longestPause } = this.#pace;
    const now = performance.now();
    const soon = upstream.pause > 0 && now - upstream.from < upstream.pause;
    upstream.pause = soon ? Math.min(upstream.pause * 2, longestPause) : firstPause;
    upstream.from = now + upstream.pause;
  }
}

/** Who comes first. */
const [requested, changed, again] = [0, 1, 2];

/** When it may be probed, and who comes first; undefined: there is no need. */
function dueOf(
  { wish, answer, registryFrom, from }: Upstream,
  view: UpstreamView | undefined,
): { readonly from: number; readonly rank: number } | undefined {
  if (wish.requestedAt !== undefined && wish.requestedAt !== answer?.requestedAt) return { from: registryFrom, rank: requested };
  if (answer === undefined || answer.generation !== wish.generation || (wish.secrets ?? answer.secrets) !== answer.secrets)
    return { from: registryFrom, rank: changed };
  // A login that is refused would be tried until somebody locks it.
  const settled = view === undefined || view.reachable === "True" || view.reason === reasons.authenticationFailed;
  return settled || !view.credentialsLoaded ? undefined : { from: Math.max(from, registryFrom), rank: again };
}

/** A process before this one has asked, or somebody has pulled. Secrets that are on their way will be another question. */
function adopt(upstream: Upstream, view: UpstreamView | undefined): void {
  const { wish, answer } = upstream;
  if (answer !== undefined || view === undefined || view.reachable === "Unknown" || view.generation !== wish.generation) return;
  upstream.answer = { ...wish, secrets: wish.secrets ?? "", requestedAt: undefined };
}
