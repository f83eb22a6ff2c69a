// The Upstreams as they run: one client each, kept while its configuration and Secrets stay the same, and how each one is doing.

import type { UpstreamView } from "../../../api/control/contents.ts";
import type { UpstreamSpec } from "../../../api/kinds.ts";
import { milliseconds } from "../../../domain/duration.ts";
import { targetUrl } from "../../../domain/registry-address.ts";
import type { SecretData, SecretSource } from "../../../domain/secrets.ts";
import { findByName } from "../../../domain/upstream-names.ts";
import type { EgressPolicy } from "../../upstream/egress.ts";
import { Requester } from "../../upstream/requester.ts";
import { UpstreamClient } from "../../upstream/upstream-client.ts";
import type { ConfigurationSource, Published } from "../configuration/configuration.ts";
import { ServiceError } from "../errors.ts";
import { Probes } from "./probes.ts";
import { targetOf } from "./upstream-target.ts";

export interface RunningUpstream {
  /** `namespace/name`. */
  readonly key: string;
  /** The Upstream at its address: bytes of one address say nothing about another one. */
  readonly origin: string;
  readonly host: string;
  readonly client: UpstreamClient;
  readonly offline: boolean;
  /** Milliseconds. `keeps` false: everything passes through. */
  readonly cache: { readonly keeps: boolean; readonly tagTTL: number; readonly staleIfError: number };
}

/** A repository of an Upstream, by its name here and there. */
export interface Place {
  readonly upstream: RunningUpstream;
  /** Here, with the prefix. */
  readonly name: string;
  /** As upstream writes it. */
  readonly repository: string;
}

interface Entry {
  published: Published<UpstreamSpec>;
  /** The spec as text, to see whether a new revision changed it. */
  readonly text: string;
  /** The Secrets that it names, as they were when it started. */
  readonly secrets: readonly (SecretData | undefined)[];
  readonly requester: Requester;
  readonly running: RunningUpstream;
}

export interface UpstreamsOptions {
  readonly configuration: ConfigurationSource;
  readonly secrets: SecretSource;
  readonly egress: EgressPolicy;
  /** An Upstream got another address: what was confirmed by the old one is stale. */
  readonly onMoved?: (key: string) => void;
}

export class Upstreams {
  readonly #options: UpstreamsOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #addresses = new Map<string, string>();
  readonly #probes = new Probes();
  readonly #unsubscribe: readonly (() => void)[];

  constructor(options: UpstreamsOptions) {
    this.#options = options;
    this.#reconcile();
    this.#unsubscribe = [options.configuration.onChange(() => this.#reconcile()), options.secrets.onChange(() => this.#retireChanged())];
  }

  /** The place that a full repository name means. Throws ServiceError NAME_UNKNOWN. */
  locate(name: string): Place {
    const published = this.#options.configuration.current().upstreamByPrefix(name.split("/", 1)[0] ?? "");
    if (published === undefined) throw new ServiceError("NAME_UNKNOWN", `no upstream serves ${name}`);
    const found = findByName(published.spec, name);
    if (found === undefined) {
      throw new ServiceError(
        "NAME_UNKNOWN",
        `${name} is not among the repositories that upstream ${published.namespace}/${published.name} serves`,
      );
    }
    return { upstream: this.#entry(published).running, ...found };
  }

  /** GET upstreams. */
  views(): UpstreamView[] {
    return this.#options.configuration.current().upstreams.map((published) => this.#view(published));
  }

  /** POST upstreams/{namespace}/{name}/probe. Rejects with ServiceError NOT_FOUND. */
  async probe(key: string): Promise<UpstreamView> {
    const { requester, running } = this.#entry(this.#published(key));
    // A Secret that cannot be used is said of it anyway, and nothing is asked.
    if (!running.offline && requester.target.credentials.state !== "invalid") await this.#probes.probe(requester);
    return this.#view(this.#published(key));
  }

  /** Ends running transfers too. */
  async close(): Promise<void> {
    for (const end of this.#unsubscribe) end();
    await Promise.all([...this.#entries.values()].map(({ requester }) => requester.close()));
    this.#entries.clear();
  }

  #published(key: string): Published<UpstreamSpec> {
    const published = this.#options.configuration.current().upstreams.find((upstream) => keyOf(upstream) === key);
    if (published === undefined) throw new ServiceError("NOT_FOUND", `There is no Upstream ${key} in what is published.`);
    return published;
  }

  #entry(published: Published<UpstreamSpec>): Entry {
    const key = keyOf(published);
    const known = this.#entries.get(key);
    if (known?.published === published) return known;
    const text = JSON.stringify(published.spec);
    if (known?.text === text) {
      known.published = published;
      return known;
    }
    if (known !== undefined) void known.requester.retire();
    const entry = this.#start(published, text);
    this.#entries.set(key, entry);
    return entry;
  }

  #start(published: Published<UpstreamSpec>, text: string): Entry {
    const { spec } = published;
    const requester = new Requester({ target: targetOf(published, this.#options.secrets), egress: this.#options.egress });
    const { url } = requester.target;
    const key = keyOf(published);
    return {
      published,
      text,
      secrets: this.#secretsOf(published),
      requester,
      running: {
        key,
        origin: `${key} ${url.origin}`,
        host: url.host,
        client: new UpstreamClient(requester),
        offline: spec.offline,
        cache: {
          keeps: spec.cache.mode === "Always",
          tagTTL: milliseconds(spec.cache.tagTTL),
          staleIfError: milliseconds(spec.cache.staleIfError),
        },
      },
    };
  }

  #view(published: Published<UpstreamSpec>): UpstreamView {
    const { spec } = published;
    const { requester } = this.#entry(published);
    const { health, target, rateLimit, blockedUntil } = requester;
    const { credentials } = target;
    const problem = credentials.state === "invalid" || credentials.state === "notImplemented" ? credentials.message : undefined;
    const resetsAt = blockedUntil ?? rateLimit?.resetsAt;
    return {
      key: keyOf(published),
      prefix: spec.prefix,
      url: spec.url,
      hosts: [...spec.hosts],
      generation: published.generation,
      reachable: health.reachable === undefined ? "Unknown" : health.reachable ? "True" : "False",
      message: problem ?? (spec.offline ? "offline: serves what is cached and asks nothing" : health.message),
      ...(health.reason === undefined ? {} : { reason: health.reason }),
      ...(health.reachable === undefined ? {} : { heardAt: new Date(health.at).toISOString() }),
      ...(rateLimit === undefined
        ? {}
        : {
            rateLimit: {
              limit: rateLimit.limit,
              remaining: blockedUntil === undefined ? rateLimit.remaining : 0,
              ...(resetsAt === undefined ? {} : { resetsAt: new Date(resetsAt).toISOString() }),
            },
          }),
      credentialsLoaded: problem === undefined,
    };
  }

  #reconcile(): void {
    const { upstreams } = this.#options.configuration.current();
    const keys = new Set(upstreams.map(keyOf));
    for (const published of upstreams) {
      const [key, address] = [keyOf(published), targetUrl(published.spec.url).origin];
      const before = this.#addresses.get(key);
      this.#addresses.set(key, address);
      if (before !== undefined && before !== address) this.#options.onMoved?.(key);
    }
    for (const [key, { requester }] of this.#entries) {
      if (keys.has(key)) continue;
      this.#entries.delete(key);
      void requester.retire();
    }
  }

  /**
   * An Upstream whose Secrets changed starts anew with what they say now, and asks nothing when they are gone; transfers on their way end as they
   * began, then their connections close. Others keep their tokens and what they know of their upstream.
   */
  #retireChanged(): void {
    for (const [key, { published, requester, secrets }] of this.#entries) {
      const now = this.#secretsOf(published);
      if (now.every((data, index) => data === secrets[index])) continue;
      this.#entries.delete(key);
      void requester.retire();
    }
  }

  #secretsOf({ namespace, spec }: Published<UpstreamSpec>): readonly (SecretData | undefined)[] {
    const named = [spec.auth.secretRef, spec.certSecretRef];
    return named.map((reference) => (reference === undefined ? undefined : this.#options.secrets.secret(namespace, reference.name)));
  }
}

const keyOf = ({ namespace, name }: { readonly namespace: string; readonly name: string }) => `${namespace}/${name}`;
