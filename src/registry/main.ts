// The registry process: database, blob store, services and HTTP, wired by hand.

import { randomUUID } from "node:crypto";
import { hostname } from "node:os";

import type { ResourceView } from "../api/control.ts";
import type { Settings } from "../config/settings.ts";
import { compileGlobs, type NameTest } from "../domain/glob.ts";
import type { SecretSource } from "../domain/secrets.ts";
import type { Logger } from "../observability/logger.ts";
import { createMetrics } from "../observability/metrics.ts";
import { FolderBlobStore } from "./blobs/folder-store.ts";
import { Authenticator } from "./http/authentication.ts";
import type { ControlServices } from "./http/control-ports.ts";
import { drain, listen } from "./http/listening.ts";
import { PublishedAccess } from "./http/published-access.ts";
import { PublishedRepositories } from "./http/repositories.ts";
import { buildServer } from "./http/server.ts";
import { V2 } from "./http/v2.ts";
import { Database } from "./metadata/database.ts";
import { migrate } from "./metadata/migrate.ts";
import { forgetConfirmations } from "./metadata/proxy-repositories.ts";
import { listRepositories as listNames } from "./metadata/repositories.ts";
import { listActivity } from "./services/activity.ts";
import { audit } from "./services/audit.ts";
import { Collector } from "./services/collect.ts";
import { ConfigurationStore } from "./services/configuration-store.ts";
import { Eviction } from "./services/eviction.ts";
import { History } from "./services/history.ts";
import { OwnPull } from "./services/own-pull.ts";
import { Prefetch } from "./services/prefetch.ts";
import { Proposals } from "./services/proposals.ts";
import { ProxyPull } from "./services/proxy-pull.ts";
import { PublishService } from "./services/publish.ts";
import { CollectedPullStatistics } from "./services/pull-statistics.ts";
import { Push } from "./services/push.ts";
import { readinessOf } from "./services/readiness.ts";
import { RetentionService } from "./services/retention.ts";
import { restore } from "./services/restore.ts";
import { Runs } from "./services/runs.ts";
import { Upstreams } from "./services/upstreams.ts";
import { listRepositories } from "./services/usage.ts";
import { versionsOf } from "./services/versions.ts";
import { EgressPolicy } from "./upstream/egress.ts";

export interface RegistryOptions {
  readonly databaseUrl: string;
  readonly blobFolder: string;
  readonly listen: { readonly host: string; readonly port: number };
  readonly settings: Settings;
  readonly secrets: SecretSource;
  /** Bearer token of the control API. */
  readonly adminToken: string;
  /** Standalone: each resource with its conditions. */
  readonly resources?: () => readonly ResourceView[];
  /** The listener is on a loopback address: everything is allowed until the first AccessPolicy ever. */
  readonly openOnLoopback: boolean;
  /** The same on any address, because somebody said so. */
  readonly allowAnonymous: boolean;
  readonly version: string;
  readonly logger: Logger;
  /** Upstreams at private addresses may be asked: who names them owns the process (standalone). */
  readonly trustUpstreamHosts?: boolean;
  /** Longest time for running transfers at a stop, milliseconds. */
  readonly grace?: number;
  /** Time for the headers of a request, milliseconds; 15 s by default. */
  readonly headersTimeout?: number;
}

export interface RunningRegistry {
  /** `http://host:port`, with the port that was taken. */
  readonly url: string;
  /** Readiness off, no new connections, running transfers to their end or the grace period, then everything closed. */
  stop(): Promise<void>;
}

const defaultGrace = 10_000;

/** Rejects when the database is newer than this program, the folder is another process's, or the address is taken; nothing stays open then. */
export async function startRegistry(options: RegistryOptions): Promise<RunningRegistry> {
  const closing = new Closing();
  try {
    return await start(options, closing);
  } catch (error) {
    await closing.run();
    throw error;
  }
}

async function start(options: RegistryOptions, closing: Closing): Promise<RunningRegistry> {
  const { settings, secrets, logger } = options;
  const database = new Database({
    url: options.databaseUrl,
    onError: (error) => logger.warn({ err: error }, "a database connection broke"),
  });
  closing.add(() => database.close());
  const migrated = await migrate(database);
  if (migrated.length > 0) logger.info({ migrations: migrated }, "the database schema is up to date");
  const store = await FolderBlobStore.open({ folder: options.blobFolder, lowWaterBytes: settings.storage.lowWaterBytes });
  closing.add(() => store.close());

  const services = await startServices(options, database, store, closing);
  const { configuration } = services;

  const { namespace, name } = settings.access.users.secretRef;
  const authenticator = new Authenticator({
    htpasswd: () => secrets.secret(namespace, name)?.get("htpasswd"),
    adminToken: options.adminToken,
    admins: settings.access.admins,
    logger,
  });
  closing.add(() => authenticator.close());
  const repositories = new PublishedRepositories({ configuration, own: services.ownPull, proxied: services.proxyPull });
  const rights = new PublishedAccess({
    configuration,
    anonymousPull: settings.access.anonymousPull,
    openUntilFirstPolicy: options.openOnLoopback || options.allowAnonymous,
    tenants: settings.tenants,
  });
  const access = () => rights.current();
  const nameOf = (name: string) => repositories.find(name, undefined)?.name;
  const metrics = createMetrics({ version: options.version, revision: () => configuration.current().revision });
  const stopping = new AbortController();

  const app = buildServer({
    v2: new V2({
      repositories,
      push: services.push,
      catalog: {
        names: async ({ limit, after }) => {
          const found = await listNames(database, { limit: limit + 1, ...(after === undefined ? {} : { after }) });
          return { names: found.slice(0, limit).map(({ name }) => name), more: found.length > limit };
        },
      },
      authenticator,
      access,
      stallTimeout: settings.uploads.stallTimeout,
      logger,
      onChange: (change) => services.history.note(change),
      onAnswer: (answer) => metrics.answered(answer),
    }),
    control: { services: services.control, authenticator, access, nameOf, logger, stopping: stopping.signal },
    probes: {
      readiness: readinessOf({ database, store, configuration, stopping: stopping.signal }),
      metrics,
      authenticator,
      openMetrics: options.openOnLoopback,
    },
    logger,
    ...(options.headersTimeout === undefined ? {} : { headersTimeout: options.headersTimeout }),
  });
  const url = await listen(app, options.listen);
  closing.add(() => {
    stopping.abort();
    return drain(app, { grace: options.grace ?? defaultGrace });
  });
  return { url, stop: () => closing.run() };
}

interface Services {
  readonly configuration: ConfigurationStore;
  readonly ownPull: OwnPull;
  readonly proxyPull: ProxyPull;
  readonly push: Push;
  readonly control: ControlServices;
  readonly history: History;
}

async function startServices(options: RegistryOptions, database: Database, store: FolderBlobStore, closing: Closing): Promise<Services> {
  const { settings, secrets, logger } = options;
  const pod = `${hostname()}-${randomUUID().slice(0, 8)}`;
  const configuration = new ConfigurationStore({ database, pod, logger });
  await configuration.start();
  closing.add(() => configuration.stop());

  const statistics = new CollectedPullStatistics({
    database,
    onError: (error) => logger.warn({ err: error }, "pulls could not be counted"),
  });
  statistics.start();
  closing.add(() => statistics.stop());
  const ownPull = new OwnPull({ database, store, statistics });
  const push = new Push({ database, store, expireAfter: settings.uploads.expireAfter });

  const egress = new EgressPolicy({ allowedCIDRs: settings.egress.allowedCIDRs, trustOwnHosts: options.trustUpstreamHosts ?? false });
  const upstreams = new Upstreams({
    configuration,
    secrets,
    egress,
    onMoved: (key) => {
      forgetConfirmations(database, key).catch((error: unknown) =>
        logger.error({ err: error, upstream: key }, "cached tags stay as fresh as they were"),
      );
    },
  });
  closing.add(() => upstreams.close());
  const proxyPull = new ProxyPull({ database, store, upstreams, statistics, logger });
  closing.add(() => proxyPull.close());
  const prefetch = new Prefetch({ source: proxyPull, logger });
  const eviction = new Eviction({ database, configuration, logger });
  eviction.start();
  closing.add(() => eviction.stop());

  const collector = new Collector({ database, store, times: settings.gc, logger });
  await collector.start();
  closing.add(() => collector.stop());

  const history = new History({ database, logger });
  history.start();
  closing.add(() => history.stop());
  const publish = new PublishService({ database, configuration });
  const proposals = new Proposals({ database, configuration, secrets });
  closing.add(async () => proposals.close());
  const pullsCounted = { own: true, proxied: true };
  const retention = new RetentionService({ database, configuration, pullsCounted, granted: grantsOf(settings.tenants) });
  const control: ControlServices = {
    record: {
      state: () => publish.state(),
      publish: async (request, identity) => {
        const state = await publish.publish(request);
        history.note({ identity, action: "publish", reference: request.revision });
        return state;
      },
    },
    resources: options.resources ?? (() => []),
    runs: new Runs({ database, configuration, secrets }),
    proposals,
    retention,
    prefetch: (request) => prefetch.prefetch(request),
    restore: (request, identity) => restore(database, request, identity),
    gc: () => collector.status(),
    upstreams: async () => upstreams.views(),
    versions: (repository) => versionsOf({ database, configuration }, repository),
    audit: (request, signal) => audit({ database, store, signal }, request),
    repositories: (mayPull) => listRepositories(database, mayPull),
    activity: () => listActivity(database, () => true),
  };
  return { configuration, ownPull, proxyPull, push, control, history };
}

/** What a namespace's policies may select: everything where the settings grant nothing special (the operator judged whether it counts). */
function grantsOf(tenants: Settings["tenants"]): (namespace: string, repository: string) => boolean {
  const granted = new Map<string, NameTest>();
  for (const [namespace, grants] of Map.groupBy(tenants, (tenant) => tenant.namespace)) {
    granted.set(namespace, compileGlobs(grants.flatMap(({ repositories }) => repositories)));
  }
  return (namespace, repository) => granted.get(namespace)?.(repository) ?? true;
}

/** What was opened, closed in the opposite order, once. */
class Closing {
  readonly #steps: (() => Promise<void>)[] = [];
  #run: Promise<void> | undefined;

  add(step: () => Promise<void>): void {
    this.#steps.push(step);
  }

  run(): Promise<void> {
    this.#run ??= this.#close();
    return this.#run;
  }

  /** One step that fails leaves none of the others open. */
  async #close(): Promise<void> {
    const failures: unknown[] = [];
    for (const step of this.#steps.reverse()) await step().catch((error: unknown) => failures.push(error));
    if (failures.length > 0) throw new AggregateError(failures, "Not everything could be closed");
  }
}
