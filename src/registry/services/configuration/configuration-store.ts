// The published configuration in memory: read at start and after each publish, and followed when another process published.

import type { RecordedResource } from "../../../api/control/record.ts";
import type { AccessPolicySpec, RetentionPolicySpec, TagPolicySpec, UpstreamSpec } from "../../../api/kinds.ts";
import type { SecretSource } from "../../../domain/secrets.ts";
import { canonicalHost } from "../../../domain/upstream-names.ts";
import type { Logger } from "../../../observability/logger.ts";
import type { Database } from "../../metadata/database.ts";
import { forgetPod, notePod, publishedRecord, publishedVersion, type RecordDocument } from "../../metadata/record.ts";
import type { Configuration, ConfigurationSource, Published } from "./configuration.ts";
import type { View } from "../pull/view.ts";

export interface ConfigurationStoreOptions {
  readonly database: Database;
  /** Name of this process among those that serve the same database. */
  readonly pod: string;
  readonly logger: Logger;
  /** Pause between two looks at the published revision, milliseconds: how late another process's publish is noticed at most. */
  readonly interval?: number;
  /** No other process publishes: without a doubt, the database is asked only as often as this process says that it lives. */
  readonly alone?: boolean;
  /** Nothing is written: nobody hears that this process lives. */
  readonly readOnly?: boolean;
  /** What tells of publishes before a request is judged; without it they are noticed at the next look. */
  readonly view?: View;
  /** What of the Secrets this process has loaded is told with its signs of life. */
  readonly secrets?: Pick<SecretSource, "loaded" | "onChange">;
}

/** As the triggers name it (metadata/changes.ts). */
const changeKey = "record";

/** Milliseconds between two rows that say this process lives. */
const heartbeat = 15_000;

export class ConfigurationStore implements ConfigurationSource {
  readonly #options: ConfigurationStoreOptions;
  readonly #listeners = new Set<() => void>();
  #current: Configuration = configurationOf(null, undefined);
  /** When the revision in memory was published: the same revision may be published again with other content. */
  #publishedAt = 0;
  #saidAt = 0;
  /** Readings so far, and the newest that was taken over: one that began earlier must not undo it. */
  #readings = 0;
  #takenOver = 0;
  #doubts = 0;
  /** How many of the doubts the database has answered. */
  #settled = 0;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> = Promise.resolve();
  #saying: Promise<void> = Promise.resolve();
  #unsubscribe: () => void = () => undefined;

  constructor(options: ConfigurationStoreOptions) {
    this.#options = options;
  }

  current(): Configuration {
    return this.#current;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Reads what is published and follows it from then on. */
  async start(): Promise<void> {
    await this.reload();
    this.#unsubscribe = this.#options.secrets?.onChange(() => this.#saySoon()) ?? this.#unsubscribe;
    this.#timer = setInterval(() => {
      this.#looking = this.#look().catch((error: unknown) =>
        this.#options.logger.warn({ error: String(error) }, "the published revision could not be read"),
      );
    }, this.#options.interval ?? 1_000);
    this.#timer.unref();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#unsubscribe();
    await Promise.all([this.#looking, this.#saying]);
    if (this.#options.readOnly !== true) await forgetPod(this.#options.database, this.#options.pod).catch(() => undefined);
  }

  /**
   * Resolves when `current()` is what a request must see that comes now: a right or an Upstream that was taken away is gone in every process from
   * the moment its publish was acknowledged (storage.md, "Reading"). `evenOld`: as it was a moment ago is good enough while the database is
   * silent. Rejects with ViewUnavailable.
   */
  async confirm(options: { readonly evenOld: boolean }): Promise<void> {
    const { view } = this.#options;
    if (view === undefined || view.peek(changeKey) !== undefined) return;
    const load = async () => {
      if (await this.#read()) this.#saySoon();
      return this.#current;
    };
    await (options.evenOld ? view.getEvenOld(changeKey, load, () => 1) : view.get(changeKey, load, () => 1));
  }

  /** Takes over what is published, at once. */
  async reload(): Promise<void> {
    await this.#read();
    await this.#say();
  }

  /** Something may have been published without this process knowing: it is looked up soon. */
  doubt(): void {
    this.#doubts++;
  }

  async #look(): Promise<void> {
    const silent = Date.now() - this.#saidAt > heartbeat;
    if (this.#options.alone === true && this.#settled === this.#doubts && !silent) return;
    const doubts = this.#doubts;
    const version = await publishedVersion(this.#options.database);
    const same = (version?.revision ?? null) === this.#current.revision && (version?.publishedAt.getTime() ?? 0) === this.#publishedAt;
    if (!same) return this.reload();
    this.#settled = Math.max(this.#settled, doubts);
    if (silent) await this.#say();
  }

  /** True: something else is published than was known. */
  async #read(): Promise<boolean> {
    const doubts = this.#doubts;
    const reading = ++this.#readings;
    const published = await publishedRecord(this.#options.database);
    this.#settled = Math.max(this.#settled, doubts);
    if (reading < this.#takenOver) return false;
    this.#takenOver = reading;
    const publishedAt = published?.publishedAt.getTime() ?? 0;
    if (publishedAt === this.#publishedAt && (published?.revision ?? null) === this.#current.revision) return false;
    this.#publishedAt = publishedAt;
    this.#current = configurationOf(published?.revision ?? null, published?.document);
    for (const listener of this.#listeners) listener();
    return true;
  }

  /** Who publishes waits to hear it; who pulls does not. */
  #saySoon(): void {
    const { logger } = this.#options;
    this.#saying = this.#say().catch((error: unknown) =>
      logger.warn({ error: String(error) }, "the published revision could not be noted"),
    );
  }

  async #say(): Promise<void> {
    this.#saidAt = Date.now();
    if (this.#options.readOnly === true) return;
    const { database, pod: id, secrets } = this.#options;
    await notePod(database, { id, revision: this.#current.revision, credentials: secrets?.loaded?.() ?? null });
  }
}

function configurationOf(revision: string | null, document: RecordDocument | undefined): Configuration {
  const resources = document?.resources ?? [];
  const upstreams = publishedOf<UpstreamSpec>(resources, "Upstream");
  const byPrefix = new Map(upstreams.map((upstream) => [upstream.spec.prefix, upstream]));
  const byHost = new Map(upstreams.flatMap((upstream) => upstream.spec.hosts.map((host) => [canonicalHost(host), upstream])));
  return {
    revision,
    upstreams,
    tagPolicies: publishedOf<TagPolicySpec>(resources, "TagPolicy"),
    retentionPolicies: publishedOf<RetentionPolicySpec>(resources, "RetentionPolicy"),
    accessPolicies: publishedOf<AccessPolicySpec>(resources, "AccessPolicy"),
    everHadAccessPolicy: document?.everHadAccessPolicy ?? false,
    upstreamByPrefix: (prefix) => byPrefix.get(prefix),
    upstreamByHost: (host) => byHost.get(canonicalHost(host)),
  };
}

function publishedOf<Spec>(resources: readonly RecordedResource[], kind: RecordedResource["kind"]): readonly Published<Spec>[] {
  return resources
    .filter((resource) => resource.kind === kind)
    .map(({ namespace, name, generation, revision, suspend, spec }) => ({
      kind,
      namespace,
      name,
      generation,
      revision,
      suspend,
      spec: spec as Spec,
    }));
}
