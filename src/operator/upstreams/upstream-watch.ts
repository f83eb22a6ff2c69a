// What the registry says of its Upstreams, asked every few seconds: nobody tells when one becomes unreachable. And what probes have heard.

import type { UpstreamView } from "../../api/control/contents.ts";
import type { ControlClient } from "../../client/control-client.ts";
import { every } from "../every.ts";

/** Milliseconds. */
const defaultInterval = 10_000;

export interface UpstreamWatchOptions {
  readonly client: Pick<ControlClient, "upstreams">;
  /**
   * Something else is said than before, or something was said for the first time after silence: what failed while the registry was away need not
   * wait for the end of its pause.
   */
  readonly changed: () => void;
  readonly interval?: number;
}

export class UpstreamWatch {
  readonly #options: UpstreamWatchOptions;
  #known: string | undefined;
  #views: ReadonlyMap<string, UpstreamView> | undefined;

  constructor(options: UpstreamWatchOptions) {
    this.#options = options;
  }

  /** By namespace/name, as of the last answer; undefined: there was none yet. */
  get views(): ReadonlyMap<string, UpstreamView> | undefined {
    return this.#views;
  }

  /** Resolves when `signal` ends it. */
  async run(signal: AbortSignal): Promise<void> {
    await this.#look();
    await every(this.#options.interval ?? defaultInterval, signal, () => this.#look());
  }

  /** One of them was asked by itself. */
  hear(view: UpstreamView): void {
    if (this.#views === undefined) return;
    this.#take(new Map(this.#views).set(view.key, newest(view, this.#views.get(view.key))));
  }

  async #look(): Promise<void> {
    const seen = await this.#options.client.upstreams().catch(() => undefined);
    if (seen === undefined) this.#known = undefined;
    else this.#take(new Map(seen.map((view) => [view.key, newest(view, this.#views?.get(view.key))])));
  }

  #take(views: ReadonlyMap<string, UpstreamView>): void {
    const before = this.#known;
    this.#known = summary([...views.values()]);
    this.#views = views;
    if (this.#known !== before) this.#options.changed();
  }
}

/** One of many processes answers, another one each time, and tells what it has heard itself: the newest counts. */
function newest(now: UpstreamView, before: UpstreamView | undefined): UpstreamView {
  if (before === undefined || now.generation !== before.generation || now.credentialsLoaded !== before.credentialsLoaded) return now;
  if ((now.heardAt ?? "") >= (before.heardAt ?? "")) return now;
  const { rateLimit, ...rest } = before;
  const over = rateLimit?.resetsAt !== undefined && Date.parse(rateLimit.resetsAt) <= Date.now();
  return over ? rest : before;
}

/** What conditions are made of. What an upstream that answers has said last changes with each request. */
function summary(views: readonly UpstreamView[]): string {
  return JSON.stringify(
    views.map(({ key, generation, reachable, reason, message, credentialsLoaded, rateLimit }) => {
      const silent = reachable === "True" && credentialsLoaded;
      const limit = rateLimit?.remaining === 0 ? [rateLimit.resetsAt] : undefined;
      return [key, generation, reachable, reason, silent ? "" : message, credentialsLoaded, limit];
    }),
  );
}
