// One operator a namespace: the Lease `wharfinger` says which. The rules are client-go's: who holds it renews it, who does not waits until it was not
// renewed for its whole duration by the waiter's own clock, and every write names the version it is based on, so one of two wins.
//
// A holder that cannot renew gives up well before another may begin. Even an old leader that slept through that does no harm: Git orders the commits,
// and the base of a publish orders the publishes (design: record, "Publishing").

import { setTimeout as sleep } from "node:timers/promises";

import type { Logger } from "../../observability/logger.ts";
import { KubeError } from "./errors.ts";
import type { KubeClient } from "./kube-client.ts";
import { microTime, paths, type KubeObject } from "./objects.ts";

export const leaseName = "wharfinger";
/** On the Lease: whose operator holds it. */
export const installationAnnotation = "wharfinger.dev/installation";

/** Milliseconds. */
export interface LeaseTimes {
  /** Not renewed for this long, the Lease is anybody's. */
  readonly duration: number;
  /** A holder that could not renew for this long has lost it. */
  readonly renewWithin: number;
  /** Between two looks at it. */
  readonly retry: number;
  /** Renewed no earlier than this after the last time; in between a holder only looks whether it is still his. Default: at each look. */
  readonly renewEvery?: number;
}

const nobody: LeaseState = { state: "waiting", holder: undefined, foreign: false };

const defaultTimes: LeaseTimes = { duration: 15_000, renewWithin: 10_000, retry: 2_000 };
/** Of an installation's Lease (ADR 0021): another installation may wait for minutes, and each renewal is a write to etcd. */
const installationTimes: LeaseTimes = { duration: 300_000, renewWithin: 200_000, renewEvery: 60_000, retry: 15_000 };
/** Seconds for which what an installation gives up is still kept for its next process. */
const keptAfterEnd = 30;
/** Milliseconds for one request, at most. */
const longestRequest = 10_000;

export interface LeaseOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  /** Of this process: two never have the same. */
  readonly identity: string;
  /** Of the installation whose operators take turns. */
  readonly installation: string;
  /** `installation`: whoever calls knows that no other process of his installation wants it now, and takes it from the one before at once. */
  readonly of?: "process" | "installation";
  /** Held or lost, or somebody else holds it. */
  readonly changed?: (state: LeaseState) => void;
  readonly logger: Logger;
  readonly times?: LeaseTimes;
}

export type LeaseState =
  | { readonly state: "held" }
  /** `foreign`: by the operator of another installation. */
  | { readonly state: "waiting"; readonly holder: string | undefined; readonly foreign: boolean };

interface Lease extends KubeObject {
  readonly spec: {
    readonly holderIdentity?: string | null;
    readonly leaseDurationSeconds?: number;
    readonly acquireTime?: string;
    readonly renewTime?: string;
    readonly leaseTransitions?: number;
  };
}

export class LeaseHolder {
  /** It is ours for the first time. */
  readonly acquired: Promise<void>;
  /** Somebody has answered for the first time, or not. */
  readonly tried: Promise<void>;
  /** It was ours and is no more: resolves with the reason, once. From then on it is waited for again. */
  readonly lost: Promise<string>;
  readonly #options: LeaseOptions;
  readonly #times: LeaseTimes;
  readonly #abort = new AbortController();
  readonly #done: { acquired: () => void; tried: () => void; lost: (why: string) => void };
  #state: LeaseState = nobody;
  #lease: Lease | undefined;
  /** When the Lease that somebody else holds was last seen to change. */
  #changedAt = 0;
  #renewedAt = 0;
  #loop: Promise<void> = Promise.resolve();

  constructor(options: LeaseOptions) {
    this.#options = options;
    this.#times = options.times ?? (options.of === "installation" ? installationTimes : defaultTimes);
    const [acquired, tried, lost] = [Promise.withResolvers<void>(), Promise.withResolvers<void>(), Promise.withResolvers<string>()];
    this.acquired = acquired.promise;
    this.tried = tried.promise;
    this.lost = lost.promise;
    this.#done = { acquired: acquired.resolve, tried: tried.resolve, lost: lost.resolve };
  }

  get namespace(): string {
    return this.#options.namespace;
  }

  get state(): LeaseState {
    return this.#state;
  }

  /** It is surely ours, also in a process that has slept and not looked yet. */
  get holds(): boolean {
    return this.#state.state === "held" && performance.now() - this.#renewedAt < this.#times.renewWithin;
  }

  start(): void {
    if (!this.#abort.signal.aborted) this.#loop = this.#run();
  }

  /** Releases what is held: the next operator need not wait; another installation waits half a minute for an installation's. Never rejects. */
  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#loop;
    if (this.#state.state !== "held" || this.#lease === undefined) return;
    this.#become(nobody);
    const { holderIdentity, ...spec } = this.#lease.spec;
    const given =
      this.#options.of === "installation"
        ? { ...spec, holderIdentity, leaseDurationSeconds: Math.min(keptAfterEnd, spec.leaseDurationSeconds ?? keptAfterEnd) }
        : { ...spec, leaseDurationSeconds: 1 };
    await this.#put({ ...this.#lease, spec: given }).catch((error: unknown) =>
      this.#options.logger.warn(
        { error: String(error) },
        `the Lease of namespace ${this.namespace} could not be released; it runs out by itself`,
      ),
    );
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort;
    const { retry, renewWithin } = this.#times;
    while (!signal.aborted) {
      // Also when a turn is late because the process slept: what may be another's by now is not simply renewed.
      if (this.#state.state === "held" && performance.now() - this.#renewedAt >= renewWithin) this.#lose("it could not be renewed in time");
      let pause = retry;
      try {
        await this.#turn();
      } catch (error) {
        pause = Math.min(retry, defaultTimes.retry);
        this.#options.logger.debug({ error: String(error) }, `the Lease of namespace ${this.namespace} could not be read or written`);
      }
      this.#done.tried();
      // Nobody comes a moment before or after all others.
      await sleep(pause * (1 + Math.random() * 0.2), undefined, { signal }).catch(() => undefined);
    }
  }

  async #turn(): Promise<void> {
    const { identity, installation } = this.#options;
    const due = performance.now() - this.#renewedAt >= (this.#times.renewEvery ?? 0);
    if (due && (await this.#renewed())) return;
    const found = await this.#read();
    if (found === undefined) return this.#absent() ? undefined : this.#take(undefined);
    const before = this.#lease?.metadata.resourceVersion;
    this.#lease = found;
    const holder = found.spec.holderIdentity ?? "";
    if (this.#state.state === "held") {
      if (holder === identity) return due ? this.#take(found) : undefined;
      return this.#lose(holder === "" ? "somebody released it" : `${holder} holds it`);
    }
    if (found.metadata.resourceVersion !== before) this.#changedAt = performance.now();
    const foreign = found.metadata.annotations?.[installationAnnotation] !== installation;
    const free = holder === "" || holder === identity || (this.#options.of === "installation" && !foreign);
    if (free || performance.now() - this.#changedAt > this.#durationOf(found)) return this.#take(found);
    if (this.#state.state === "waiting" && this.#state.holder === holder && this.#state.foreign === foreign) return;
    this.#become({ state: "waiting", holder, foreign });
  }

  /** Somebody deleted the Lease that another installation held: that one looks again within its duration, and until then it is not ours. */
  #absent(): boolean {
    const { state } = this;
    if (state.state === "held" || !state.foreign || this.#lease === undefined) return false;
    return performance.now() - this.#changedAt <= this.#durationOf(this.#lease);
  }

  #durationOf({ spec }: Lease): number {
    return (spec.leaseDurationSeconds ?? this.#times.duration / 1_000) * 1_000;
  }

  /** Nobody has written to it since we did: one request instead of two. False: it must be read first. */
  async #renewed(): Promise<boolean> {
    if (this.#state.state !== "held" || this.#lease === undefined) return false;
    try {
      await this.#take(this.#lease);
      return true;
    } catch (error) {
      if (error instanceof KubeError && (error.status === 409 || error.status === 404)) return false;
      throw error;
    }
  }

  async #take(found: Lease | undefined): Promise<void> {
    const { namespace, identity, installation } = this.#options;
    const asked = performance.now();
    const now = microTime(new Date());
    const ours = found?.spec.holderIdentity === identity;
    const lease: Lease = {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: {
        ...found?.metadata,
        name: leaseName,
        namespace,
        annotations: { ...found?.metadata.annotations, [installationAnnotation]: installation },
      },
      spec: {
        holderIdentity: identity,
        leaseDurationSeconds: Math.ceil(this.#times.duration / 1_000),
        acquireTime: ours ? (found.spec.acquireTime ?? now) : now,
        renewTime: now,
        leaseTransitions: (found?.spec.leaseTransitions ?? 0) + (ours || found === undefined ? 0 : 1),
      },
    };
    this.#lease = found === undefined ? await this.#post(lease) : await this.#put(lease);
    this.#renewedAt = asked;
    if (this.#state.state === "held") return;
    this.#become({ state: "held" });
    this.#done.acquired();
  }

  #lose(why: string): void {
    this.#become(nobody);
    this.#done.lost(why);
  }

  #become(state: LeaseState): void {
    this.#state = state;
    this.#options.changed?.(state);
  }

  async #read(): Promise<Lease | undefined> {
    try {
      return await this.#send("GET", `${paths.leases(this.namespace)}/${leaseName}`);
    } catch (error) {
      if (error instanceof KubeError && error.status === 404 && error.reason === "NotFound") return undefined;
      throw error;
    }
  }

  #post(lease: Lease): Promise<Lease> {
    return this.#send("POST", paths.leases(this.namespace), lease);
  }

  #put(lease: Lease): Promise<Lease> {
    return this.#send("PUT", `${paths.leases(this.namespace)}/${leaseName}`, lease);
  }

  /** No single request may eat up the time in which there would be another, or last beyond the one in which the Lease is surely ours. */
  #send(method: "GET" | "POST" | "PUT", path: string, body?: Lease): Promise<Lease> {
    const { renewWithin } = this.#times;
    const left = this.#state.state === "held" ? Math.max(this.#renewedAt + renewWithin - performance.now(), 1) : renewWithin;
    return this.#options.client.send({ method, path, body, timeout: Math.ceil(Math.min(renewWithin / 2, left, longestRequest)) });
  }
}
