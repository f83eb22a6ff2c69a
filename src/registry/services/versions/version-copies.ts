// Versions whose copy is not here are copied again in the background: after a lost database was filled from Git, and when a person bound one.
// The queue is the ledger itself, rows without `held`; what failed waits in memory, so a restart tries everything once.

import type { Digest } from "../../../domain/digest.ts";
import { prefixOf } from "../../../domain/reference.ts";
import type { Logger } from "../../../observability/logger.ts";
import type { Database } from "../../metadata/database.ts";
import { uncopiedVersions, type UncopiedVersion } from "../../metadata/version-copies.ts";
import type { ConfigurationSource } from "../configuration/configuration.ts";
import { copyVersion, type CopyVersionOptions } from "./copy-version.ts";
import { DatabaseUnavailable, ServiceError } from "../errors.ts";
import { policiesOf } from "../runs/policy-scope.ts";
import type { Turn } from "../upkeep/turn.ts";

/**
 * Upstreams that are copied from at once, one version of each; its blobs come four at a time, at the lowest priority of the rate budget.
 * Never two versions of one: an upstream that sends slowly, or never ends, holds up its own copies and not those of the others.
 */
const upstreamsAtOnce = 4;

/** Milliseconds to the next attempt. */
export interface CopyPauses {
  /** After the first failure, doubled for each. */
  readonly first: number;
  readonly most: number;
  /** When upstream said that it does not have the version any more. */
  readonly gone: number;
  /** When nobody has said that there is something new: an audit, in whatever process, may have let a copy go. */
  readonly look: number;
}

const usualPauses: CopyPauses = { first: 30_000, most: 3_600_000, gone: 6 * 3_600_000, look: 60_000 };
/** A database that was away is asked again after so many milliseconds, and nothing is held against the version. */
const backWithin = 4_000;

export interface VersionCopiesOptions extends CopyVersionOptions {
  readonly database: Database;
  readonly configuration: ConfigurationSource;
  readonly logger: Logger;
  readonly pauses?: CopyPauses;
  /** Where there are several processes, one copies. */
  readonly turn?: Turn;
}

export interface FailedCopy {
  readonly digest: Digest;
  readonly tags: readonly string[];
  readonly message: string;
  /** When it is tried again. */
  readonly retryAt: Date;
}

interface Failure extends FailedCopy {
  readonly repository: string;
  readonly attempts: number;
}

export class VersionCopies {
  readonly #options: VersionCopiesOptions;
  readonly #pauses: CopyPauses;
  readonly #failures = new Map<string, Failure>();
  #unsubscribe: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  /** Something changed since the running round asked what there is to do. */
  #again = false;
  /** The copying from one Upstream, by its prefix. */
  readonly #lanes = new Map<string, Promise<void>>();
  /** There may be something to do for which there was no lane. */
  #passedOver = false;
  #stopped = false;

  constructor(options: VersionCopiesOptions) {
    this.#options = options;
    this.#pauses = options.pauses ?? usualPauses;
  }

  start(): void {
    // A publish is what brings versions.
    const { configuration, turn } = this.#options;
    const subscriptions = [configuration.onChange(() => this.#wake()), turn?.onTaken(() => this.#wake())];
    this.#unsubscribe = () => subscriptions.forEach((end) => end?.());
    this.#wake();
  }

  /** Nothing new is begun. Resolves when the copies under way have ended, which they do when the transfers are closed. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#unsubscribe?.();
    clearTimeout(this.#timer);
    await this.#running;
    await Promise.all(this.#lanes.values());
  }

  /** Versions of a repository that could not be copied. */
  failed(repository: string): FailedCopy[] {
    return [...this.#failures.values()].filter((failure) => failure.repository === repository);
  }

  #wake(): void {
    clearTimeout(this.#timer);
    this.#again = true;
    if (!this.#stopped) this.#running ??= this.#rounds();
  }

  async #rounds(): Promise<void> {
    try {
      while (this.#again && !this.#stopped) {
        this.#again = false;
        await this.#round();
      }
      this.#wakeForRetry();
    } catch (error) {
      this.#options.logger.error({ err: error }, "versions that wait for their copy could not be looked up");
      this.#passedOver = true;
      this.#wakeAt(Date.now() + (error instanceof DatabaseUnavailable ? backWithin : this.#pauses.first));
    } finally {
      this.#running = undefined;
    }
    if (this.#again) this.#wake();
  }

  async #round(): Promise<void> {
    if (this.#options.turn?.mine() === false) return;
    const found = Map.groupBy(await uncopiedVersions(this.#options.database), ({ repository }) => repository);
    const waiting = [...found].flatMap(([repository, versions]) => (this.#wants(repository) ? versions : []));
    const keys = new Set(waiting.map(keyOf));
    for (const key of this.#failures.keys()) if (!keys.has(key)) this.#failures.delete(key);
    const due = waiting.filter((version) => (this.#failures.get(keyOf(version))?.retryAt.getTime() ?? 0) <= Date.now());
    for (const [prefix, versions] of Map.groupBy(due, ({ repository }) => prefixOf(repository))) {
      if (this.#stopped) return;
      if (this.#lanes.has(prefix) || this.#lanes.size === upstreamsAtOnce) this.#passedOver = true;
      else this.#lanes.set(prefix, this.#copyAll(prefix, versions));
    }
  }

  /** Never rejects. */
  async #copyAll(prefix: string, versions: readonly UncopiedVersion[]): Promise<void> {
    for (const version of versions) {
      if (this.#stopped) break;
      await this.#copy(version);
    }
    this.#lanes.delete(prefix);
    if (this.#passedOver) {
      this.#passedOver = false;
      this.#wake();
    } else this.#wakeForRetry();
  }

  /** Its policy wants a copy, and its Upstream may be asked for one. A version whose policy is gone is kept as policies are by default. */
  #wants(repository: string): boolean {
    const configuration = this.#options.configuration.current();
    const upstream = configuration.upstreamByPrefix(prefixOf(repository))?.spec;
    if (upstream === undefined || upstream.offline || upstream.cache.mode !== "Always") return false;
    return policiesOf(configuration, repository)[0]?.spec.copy !== "Reference";
  }

  async #copy(version: UncopiedVersion): Promise<void> {
    const { logger } = this.#options;
    const { repository, digest } = version;
    try {
      const { tags, evidence } = await copyVersion(this.#options, version);
      this.#failures.delete(keyOf(version));
      if (tags.length > 0) logger.info({ repository, digest, tags, evidence }, "a version is copied again");
    } catch (error) {
      if (!this.#stopped) this.#failed(version, error as Error);
    }
  }

  #failed(version: UncopiedVersion, error: Error): void {
    const { repository, digest, tags } = version;
    const before = this.#failures.get(keyOf(version));
    const attempts = (before?.attempts ?? 0) + (error instanceof DatabaseUnavailable ? 0 : 1);
    const retryAt = new Date(Date.now() + this.#pauseAfter(error, attempts));
    this.#failures.set(keyOf(version), { repository, digest, tags, message: error.message, retryAt, attempts });
    // Once for each reason: what cannot be mended here would fill the log.
    const level = before?.message === error.message ? "debug" : "warn";
    this.#options.logger[level]({ repository, digest, tags, reason: error.message, retryAt }, "a version could not be copied");
  }

  #pauseAfter(error: Error, attempts: number): number {
    if (error instanceof DatabaseUnavailable) return backWithin;
    const { first, most, gone } = this.#pauses;
    const { code, retryAfter = 0 } = error instanceof ServiceError ? error : {};
    if (code === "MANIFEST_UNKNOWN") return gone;
    return Math.max(Math.min(first * 2 ** (attempts - 1), most), retryAfter * 1000);
  }

  /** For who has a lane, or waits for one, the end of a lane is the time to look again. */
  #wakeForRetry(): void {
    if (this.#lanes.size === upstreamsAtOnce) return;
    const waiting = [...this.#failures.values()].filter(({ repository }) => !this.#lanes.has(prefixOf(repository)));
    this.#wakeAt(Math.min(Date.now() + this.#pauses.look, ...waiting.map(({ retryAt }) => retryAt.getTime())));
  }

  #wakeAt(time: number): void {
    clearTimeout(this.#timer);
    if (this.#stopped || !Number.isFinite(time)) return;
    // Never at once: a round that changed nothing must not follow itself.
    this.#timer = setTimeout(() => this.#wake(), Math.max(time - Date.now(), 100)).unref();
  }
}

const keyOf = ({ repository, digest }: UncopiedVersion) => `${repository}@${digest}`;
