// Removals that wait are told as events: to the administrators on the installation's ConfigMap, with the command that lets them go, and to those whose
// resources they were in their own namespace, where nothing else is left that could say it.

import { reasons } from "../../api/conditions.ts";
import type { HowToSay } from "../persons-word.ts";
import type { WaitingRemovals } from "../rounds/removals.ts";
import type { Events } from "./events.ts";
import { installationName } from "./installation.ts";
import { groupVersion } from "./objects.ts";

/** More at once are in the operator's log and on the ConfigMap, in one sentence for all. */
const mostTold = 100;

export interface WaitingRemovalEventsOptions {
  readonly events: Pick<Events, "say">;
  /** Where the ConfigMap is. */
  readonly home: string;
  readonly howToSay: HowToSay;
}

export class WaitingRemovalEvents {
  readonly #options: WaitingRemovalEventsOptions;
  /** The words that were asked for. */
  #told: ReadonlySet<string> = new Set();
  /** What is still to be said, by namespace: of a removal that grows only how far it has come by then. */
  readonly #news = new Map<string, WaitingRemovals>();
  #saying: Promise<void> | undefined;
  #stopped = false;

  constructor(options: WaitingRemovalEventsOptions) {
    this.#options = options;
  }

  /** Called with all that wait, after each round. */
  take(waiting: readonly WaitingRemovals[]): void {
    const words = new Set(waiting.map(({ word }) => word));
    for (const [namespace, { word }] of this.#news) if (!words.has(word)) this.#news.delete(namespace);
    for (const one of waiting.slice(0, mostTold)) if (!this.#told.has(one.word)) this.#news.set(one.namespace, one);
    this.#told = words;
    if (this.#news.size > 0 && !this.#stopped) this.#saying ??= this.#sayAll();
  }

  /** Ends after what is being said. The rest is said by the next operator, if it still waits. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#saying;
  }

  async #sayAll(): Promise<void> {
    for (;;) {
      const [next] = this.#news.values();
      if (next === undefined || this.#stopped) break;
      this.#news.delete(next.namespace);
      await this.#say(next);
    }
    this.#saying = undefined;
  }

  async #say({ namespace, keys, loss, word }: WaitingRemovals): Promise<void> {
    const { events, home, howToSay } = this.#options;
    const draft = { type: "Warning", reason: reasons.waitsForConfirmation } as const;
    const many = `${keys.length === 1 ? "1 resource is" : `${keys.length} resources are`} gone, and served on as recorded`;
    const because = `${loss.gone} of ${loss.stood} ${loss.of} would be removed within an hour`;
    await events.say(
      { apiVersion: "v1", kind: "ConfigMap", namespace: home, name: installationName },
      {
        ...draft,
        note: `namespace ${namespace}: ${many}, because ${because}. To remove what is recorded: ${howToSay("confirm-removal", word)}`,
      },
    );
    const [first] = keys;
    if (namespace === home || first === undefined) return;
    await events.say(
      { apiVersion: groupVersion, kind: first.kind, namespace, name: first.name },
      { ...draft, note: `${many} until an administrator of the registry confirms it, because ${because}` },
    );
  }
}
