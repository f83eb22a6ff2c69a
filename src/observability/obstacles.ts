// What is in a process's way, said wherever people look: once in the log, in an event of its Pod, and to whoever asks its probes.

import type { Logger } from "./logger.ts";

export interface Met {
  /** One word of CamelCase. */
  readonly reason: string;
  /** What it is, and what to do about it. */
  readonly message: string;
}

/** What is said of the Pod that a process runs in. */
export interface PodEvent extends Met {
  readonly type: "Normal" | "Warning";
}

/** Never throws, and nobody waits for it. */
export type Announce = (event: PodEvent) => void;

export interface ObstaclesOptions {
  readonly logger: Logger;
  /** Undefined: nowhere. */
  readonly announce?: Announce | undefined;
  /** The event that it is over. */
  readonly over: Met;
  /** false: work goes on beside it, so it is a warning and nothing is tried again. Default: true. */
  readonly hinders?: boolean;
  /** Milliseconds after which an obstacle that stays is announced again: the API server forgets events after an hour. */
  readonly againAfter?: number;
}

export class Obstacles {
  readonly #options: ObstaclesOptions;
  #current: Met | undefined;
  #announcedAt = 0;

  constructor(options: ObstaclesOptions) {
    this.#options = options;
  }

  /** Undefined: nothing is in the way. */
  get current(): Met | undefined {
    return this.#current;
  }

  meet({ reason, message }: Met): void {
    const { announce, againAfter = 300_000 } = this.#options;
    const isNew = this.#current?.reason !== reason || this.#current.message !== message;
    this.#current = { reason, message };
    if (isNew) this.#log({ reason, message });
    if (!isNew && performance.now() - this.#announcedAt < againAfter) return;
    this.#announcedAt = performance.now();
    announce?.({ type: "Warning", reason, message });
  }

  #log({ reason, message }: Met): void {
    const { logger, hinders = true } = this.#options;
    if (!hinders) logger.warn({ reason }, message);
    else logger.error({ reason }, /tried again\.?$/.test(message) ? message : `${ended(message)} It is tried again.`);
  }

  overcome(): void {
    if (this.#current === undefined) return;
    this.#current = undefined;
    const { logger, announce, over } = this.#options;
    logger.info({ reason: over.reason }, over.message);
    announce?.({ type: "Normal", ...over });
  }
}

/** What others said may have no full stop. */
function ended(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
