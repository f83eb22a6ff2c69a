// The proxy half of a registry, wired as the composition root does it: a real database, a real folder, real connections.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";

import { pino } from "pino";

import type { UpstreamSpec } from "../../src/api/kinds.ts";
import { defaultSettings } from "../../src/config/settings.ts";
import type { Digest } from "../../src/domain/digest.ts";
import { canonicalHost } from "../../src/domain/upstream-names.ts";
import { createMetrics, type RegistryMetrics } from "../../src/observability/metrics.ts";
import { FolderBlobStore } from "../../src/registry/blobs/folder-store.ts";
import type { BlobReader } from "../../src/registry/blobs/blob-store.ts";
import type { Database } from "../../src/registry/metadata/database.ts";
import type { Configuration, ConfigurationSource, Published } from "../../src/registry/services/configuration/configuration.ts";
import { Collector } from "../../src/registry/services/deletion/collect.ts";
import { Eviction } from "../../src/registry/services/proxy/eviction.ts";
import { Prefetch } from "../../src/registry/services/proxy/prefetch.ts";
import { ProxyPull } from "../../src/registry/services/proxy/proxy-pull.ts";
import type { Caller } from "../../src/registry/services/pull/pull-service.ts";
import { CollectedPullStatistics } from "../../src/registry/services/pull/pull-statistics.ts";
import { StoredContent } from "../../src/registry/services/pull/stored-content.ts";
import { Upstreams } from "../../src/registry/services/proxy/upstreams.ts";
import { View } from "../../src/registry/services/pull/view.ts";
import { forgetConfirmations } from "../../src/registry/metadata/proxy-repositories.ts";
import { EgressPolicy } from "../../src/registry/upstream/egress.ts";
import { CountingDatabase } from "./counting-database.ts";
import { createMigratedDatabase } from "./postgres.ts";
import { TestSecrets } from "./registry.ts";
import { ScriptedUpstream } from "./scripted-upstream.ts";

type DeepPartial<T> = { readonly [K in keyof T]?: T[K] extends readonly unknown[] ? T[K] : T[K] extends object ? DeepPartial<T[K]> : T[K] };

/** A spec with the defaults of the CRD, short timeouts, and http allowed. */
export function upstreamSpec(url: string, prefix: string, overrides: DeepPartial<UpstreamSpec> = {}): UpstreamSpec {
  const base: UpstreamSpec = {
    url,
    insecure: url.startsWith("http:"),
    prefix,
    repositoryPrefix: "",
    hosts: [],
    repositories: { include: ["**"], exclude: [] },
    auth: { provider: "generic" },
    allowedHosts: [],
    cache: { mode: "Always", tagTTL: "5m", staleIfError: "168h", unusedFor: "720h" },
    rateLimit: { reservePercent: 20 },
    timeouts: { connect: "1s", firstByte: "1s", idle: "1500ms" },
    offline: false,
  };
  return merge(base, overrides) as UpstreamSpec;
}

function merge(base: unknown, over: unknown): unknown {
  if (
    typeof base !== "object" ||
    base === null ||
    Array.isArray(base) ||
    typeof over !== "object" ||
    over === null ||
    Array.isArray(over)
  ) {
    return over ?? base;
  }
  const keys = new Set([...Object.keys(base), ...Object.keys(over)]);
  return Object.fromEntries(
    [...keys].map((key) => [key, merge((base as Record<string, unknown>)[key], (over as Record<string, unknown>)[key])]),
  );
}

/** Published resources and Secrets that a test changes at will. */
class TestConfiguration extends TestSecrets implements ConfigurationSource {
  #upstreams: readonly Published<UpstreamSpec>[] = [];
  #generation = 0;

  publish(specs: Readonly<Record<string, UpstreamSpec>>): void {
    this.#generation++;
    this.#upstreams = Object.entries(specs).map(([name, spec]) => ({
      kind: "Upstream",
      namespace: "default",
      name,
      generation: this.#generation,
      revision: "0000000",
      suspend: false,
      spec,
    }));
    this.changed();
  }

  setSecret(name: string, data: Readonly<Record<string, string>> | undefined): void {
    this.set("default", name, data);
  }

  current(): Configuration {
    const upstreams = this.#upstreams;
    return {
      revision: "0000000",
      upstreams,
      tagPolicies: [],
      retentionPolicies: [],
      accessPolicies: [],
      everHadAccessPolicy: false,
      upstreamByPrefix: (prefix) => upstreams.find(({ spec }) => spec.prefix === prefix),
      upstreamByHost: (host) => upstreams.find(({ spec }) => spec.hosts.includes(canonicalHost(host))),
    };
  }
}

export interface TestProxy {
  readonly configuration: TestConfiguration;
  readonly metrics: RegistryMetrics;
  readonly database: Database;
  readonly store: FolderBlobStore;
  readonly upstreams: Upstreams;
  readonly pull: ProxyPull;
  readonly statistics: CollectedPullStatistics;
  readonly prefetch: Prefetch;
  readonly eviction: Eviction;
  readonly collector: Collector;
  /** Every line that was logged, at every level. */
  readonly log: string[];
  /** Names of the statements since the last call; questions about changes go another way. */
  statements(): string[];
  /** Rows of any statement, for looking behind the services. */
  rows<Row>(text: string, values?: readonly unknown[]): Promise<Row[]>;
  stop(): Promise<void>;
}

export interface TestProxyOptions {
  readonly allowedCIDRs?: readonly string[];
  readonly trustOwnHosts?: boolean;
  readonly lowWaterBytes?: number;
  readonly touchEvery?: number;
  /** spool.lowWaterBytes */
  readonly spoolLowWaterBytes?: number;
  readonly maxBlobBytes?: number;
  readonly maxFills?: number;
}

export async function startProxy(options: TestProxyOptions = {}): Promise<TestProxy> {
  const testDatabase = await createMigratedDatabase();
  const database = new CountingDatabase({ url: testDatabase.url });
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-proxy-"));
  const store = await FolderBlobStore.open({ folder, lowWaterBytes: options.lowWaterBytes ?? 0 });
  const configuration = new TestConfiguration();
  const log: string[] = [];
  const sink = new Writable({
    write(line: Buffer, _, done) {
      log.push(line.toString());
      done();
    },
  });
  const logger = pino({ level: "trace" }, sink);
  const upstreams = new Upstreams({
    configuration,
    secrets: configuration,
    egress: new EgressPolicy({ allowedCIDRs: options.allowedCIDRs ?? [], trustOwnHosts: options.trustOwnHosts ?? true }),
    onMoved: (key) => void forgetConfirmations(database, key),
  });
  const statistics = new CollectedPullStatistics({ database, onError: (error) => log.push(String(error)) });
  const metrics = createMetrics({ version: "test", revision: () => null });
  const questions = database.dedicated();
  const content = new StoredContent({ database, view: new View({ database: questions }) });
  const pull = new ProxyPull({
    metrics,
    database,
    content,
    store,
    upstreams,
    statistics,
    logger,
    resumePause: 5,
    touchEvery: options.touchEvery,
    lowWaterBytes: options.spoolLowWaterBytes,
    maxBlobBytes: options.maxBlobBytes ?? defaultSettings.spool.maxBlobBytes,
    maxFills: options.maxFills,
  });
  return {
    configuration,
    metrics,
    database,
    store,
    upstreams,
    pull,
    statistics,
    eviction: new Eviction({ database, configuration, logger }),
    collector: new Collector({
      database,
      store,
      times: { lease: 3_600_000, trashFor: 3_600_000, doomDelay: 0, interval: 3_600_000, uploadAbandonedAfter: 3_600_000 },
      brake: defaultSettings.gc.brake,
      logger,
      isProtected: () => false,
    }),
    prefetch: new Prefetch({ source: pull, logger }),
    log,
    statements: () => database.statements(),
    rows: (text, values) => database.rows(text, values),
    async stop() {
      await pull.close();
      await upstreams.close();
      await questions.close();
      await database.close();
      await store.close();
      await testDatabase.drop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export interface ProxiedUpstream {
  readonly upstream: ScriptedUpstream;
  readonly prefix: string;
  /** Publishes its Upstream alone, with these differences from `upstreamSpec`. */
  readonly configure: (overrides?: Parameters<typeof upstreamSpec>[2]) => void;
}

let upstreams = 0;

/** An upstream behind a prefix that none before it had: tests share a proxy and nothing in it. Whoever asks stops it. */
export async function startUpstream(proxy: TestProxy): Promise<ProxiedUpstream> {
  const upstream = await ScriptedUpstream.start();
  const prefix = `p${++upstreams}`;
  const configure: ProxiedUpstream["configure"] = (overrides = {}) =>
    proxy.configuration.publish({ [prefix]: upstreamSpec(upstream.url, prefix, overrides) });
  configure();
  return { upstream, prefix, configure };
}

export const someone: Caller = { identity: "anonymous", mayPush: false, revalidate: false };

/** Reads a blob to its end in pieces of `piece` bytes. */
export async function readAll(reader: BlobReader, options: { piece?: number; pause?: () => Promise<void> } = {}): Promise<Buffer> {
  const buffer = Buffer.alloc(options.piece ?? 64 * 1024);
  const pieces: Buffer[] = [];
  try {
    for (let position = 0; position < reader.size;) {
      const count = await reader.read(buffer, position);
      if (count === 0) throw new Error(`the reader ended at ${position} of ${reader.size}`);
      pieces.push(Buffer.from(buffer.subarray(0, count)));
      position += count;
      await options.pause?.();
    }
  } finally {
    await reader.close();
  }
  return Buffer.concat(pieces);
}

/** Pulls a blob as the HTTP layer does. */
export async function pullBlob(pull: ProxyPull, repository: string, digest: Digest): Promise<Buffer> {
  return readAll(await (await pull.blob(repository, digest, someone, { head: false })).open());
}
