// The services, wired by hand: who is given what.

import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import type { Settings } from "../../config/settings.ts";
import type { Logger } from "../../observability/logger.ts";
import type { BackupMetrics } from "../../observability/backup-metrics.ts";
import type { WorkloadMetrics } from "../../observability/workload-metrics.ts";
import type { CollectorMetrics } from "../../observability/collector-metrics.ts";
import { compileGlobs, type NameTest } from "../../domain/glob.ts";
import type { BlobStore } from "../blobs/blob-store.ts";
import type { ControlServices } from "../http/control/control-ports.ts";
import { PublishedAccess } from "../http/login/published-access.ts";
import { answersWithin } from "../metadata/changes.ts";
import { Database } from "../metadata/database.ts";
import { failUnfinishedRuns } from "../metadata/runs.ts";
import { forgetConfirmations } from "../metadata/proxy-repositories.ts";
import { listActivity } from "../services/activity.ts";
import { adopt } from "../services/upkeep/adopt.ts";
import { audit } from "../services/upkeep/audit.ts";
import { Backup, doomDelayBeside } from "../services/upkeep/backup.ts";
import { BoundRuns } from "../services/runs/bound-runs.ts";
import { Collector } from "../services/deletion/collect.ts";
import { ConfigurationStore } from "../services/configuration/configuration-store.ts";
import { deleteImage } from "../services/deletion/delete-image.ts";
import { Eviction } from "../services/proxy/eviction.ts";
import { signOfLifeEvery } from "../services/upkeep/heartbeat.ts";
import { History } from "../services/history.ts";
import type { Marker } from "../services/upkeep/marker.ts";
import { OwnPull } from "../services/pull/own-pull.ts";
import { Prefetch } from "../services/proxy/prefetch.ts";
import { Proposals } from "../services/versions/proposals.ts";
import type { ProxyMetrics } from "../services/proxy/proxy-metrics.ts";
import { ProxyPull } from "../services/proxy/proxy-pull.ts";
import { publishedViews } from "../services/configuration/published-views.ts";
import { PublishService } from "../services/configuration/publish.ts";
import { CollectedPullStatistics, type PullStatistics } from "../services/pull/pull-statistics.ts";
import { Push } from "../services/push/push.ts";
import type { BytesAllowed } from "../services/push/repository-limits.ts";
import { RetentionService } from "../services/retention/retention.ts";
import { restore } from "../services/deletion/restore.ts";
import { Runs } from "../services/runs/runs.ts";
import { shadowedTags } from "../services/proxy/shadowed-tags.ts";
import { StoredContent } from "../services/pull/stored-content.ts";
import { alwaysMine, SharedTurn, type SharedTurnOptions, type Turn } from "../services/upkeep/turn.ts";
import { Upstreams } from "../services/proxy/upstreams.ts";
import { listRepositories, storageUsage } from "../services/upkeep/usage.ts";
import { VersionCopies } from "../services/versions/version-copies.ts";
import { View } from "../services/pull/view.ts";
import { versionsOf } from "../services/versions/versions.ts";
import { Workloads } from "../services/retention/workloads.ts";
import { aboveLowWater, readOnly as onlyReading, writable, type Writability } from "../services/upkeep/writability.ts";
import { EgressPolicy } from "../upstream/egress.ts";
import type { Closing } from "../closing.ts";
import type { RegistryOptions } from "../options.ts";

export interface Services {
  readonly configuration: ConfigurationStore;
  readonly ownPull: OwnPull;
  readonly proxyPull: ProxyPull;
  readonly push: Push;
  readonly control: ControlServices;
  readonly boundRuns: BoundRuns;
  readonly history: History;
  readonly writability: Writability;
}

/** Everything between HTTP and the stores; what is started is added to `closing`. */
export async function startServices(
  options: RegistryOptions,
  database: Database,
  { store, marker }: { readonly store: BlobStore; readonly marker: Marker },
  closing: Closing,
  metrics: ProxyMetrics & CollectorMetrics & BackupMetrics & WorkloadMetrics,
): Promise<Services> {
  const { settings, secrets, logger, alone = false } = options;
  const { readOnly } = settings;
  const writability = writabilityOf(options);
  const pod = options.pod ?? `${hostname()}-${randomUUID().slice(0, 8)}`;
  if (alone && !readOnly) await failUnfinishedRuns(database);
  // A question about changes never waits behind other statements.
  const questions = database.dedicated({ connect: answersWithin, wait: answersWithin, statement: answersWithin });
  closing.add(() => questions.close());
  const view = new View({ database: questions, serveOldFor: settings.database.serveDigestsFor });
  const configuration = new ConfigurationStore({ database, view, pod, logger, alone, readOnly, secrets });
  await configuration.start();
  closing.add(() => configuration.stop());

  const statistics = readOnly ? uncounted : countPulls({ database, logger }, closing);
  const content = new StoredContent({ database, view });
  const ownPull = new OwnPull({ database, store, content, statistics });
  const { expireAfter } = settings.uploads;
  const { uploadAbandonedAfter } = settings.gc;
  const mayMissBlobs = compileGlobs(settings.allowMissingBlobs);
  const push = new Push({
    database,
    store,
    expireAfter,
    touchEvery: signOfLifeEvery(uploadAbandonedAfter, expireAfter),
    sessionLimits: { perIdentity: settings.limits.uploadsPerIdentity, all: settings.limits.uploads },
    bytesAllowed: bytesAllowedBy(settings.limits),
    mayMissBlobs,
  });

  const egress = new EgressPolicy({ allowedCIDRs: settings.egress.allowedCIDRs, trustOwnHosts: options.trustUpstreamHosts ?? false });
  const upstreams = new Upstreams({
    configuration,
    secrets,
    egress,
    onMoved: (key) => {
      if (readOnly) return;
      forgetConfirmations(database, key).catch((error: unknown) =>
        logger.error({ err: error, upstream: key }, "cached tags stay as fresh as they were"),
      );
    },
  });
  closing.add(() => upstreams.close());
  const proxyPull = new ProxyPull({
    database,
    content,
    store,
    upstreams,
    statistics,
    logger,
    metrics,
    lowWaterBytes: settings.spool.lowWaterBytes,
    maxBlobBytes: settings.spool.maxBlobBytes,
    touchEvery: signOfLifeEvery(uploadAbandonedAfter),
    writability,
  });
  closing.add(() => proxyPull.close());
  const prefetch = new Prefetch({ source: proxyPull, logger });
  const turn = housekeepingTurn({ database, pod, logger, alone: alone || readOnly }, closing);
  const copies = new VersionCopies({ database, configuration, source: proxyPull, prefetch, logger, turn });
  if (!readOnly) copies.start();
  closing.add(async () => {
    // What is being fetched ends with its connections, also where upstream has not answered yet.
    await Promise.all([copies.stop(), proxyPull.close(), upstreams.close()]);
  });
  const eviction = new Eviction({ database, configuration, logger, turn });
  if (!readOnly) eviction.start();
  closing.add(() => eviction.stop());

  const backup = new Backup({ database, named: store.named, times: settings.backup, version: options.version, logger, turn });
  if (!readOnly) backup.start();
  closing.add(() => backup.stop());
  metrics.measureSnapshotAge(() => backup.age);
  const doomDelay = doomDelayBeside(settings.backup, settings.gc.doomDelay);
  if (doomDelay > settings.gc.doomDelay)
    logger.warn({ doomDelay }, "gc.doomDelay counts as backup.interval and a day: what the newest snapshot names must still be there");
  const beforeDeletion = () => marker.raise();
  // Whom it protects against depends on the policies alone.
  const { tenants } = settings;
  const access = new PublishedAccess({ configuration, secrets, anonymousPull: "None", openUntilFirstPolicy: false, tenants });
  const isProtected = (repository: string, tag: string) => access.current().isProtected(repository, tag);
  const collector = new Collector({
    database,
    store,
    isProtected,
    times: { ...settings.gc, doomDelay },
    brake: settings.gc.brake,
    logger,
    beforeDeletion,
    onStepFailed: (step) => metrics.collectingFailed(step),
    onSwept: (swept) => metrics.swept(swept),
    onMeasured: (backlog) => metrics.backlog(backlog),
  });
  if (!readOnly) await collector.start();
  closing.add(() => collector.stop());

  const history = new History({ database, logger });
  closing.add(() => history.stop());
  const publish = new PublishService({ database, configuration });
  const proposals = new Proposals({ database, configuration, secrets, alone });
  closing.add(async () => proposals.close());
  const pullsCounted = { own: true, proxied: true };
  const granted = grantsOf(settings.tenants);
  const boundRuns = new BoundRuns({ database, configuration, granted });
  const workloads = new Workloads({ database, configuration, clusters: settings.clusters.map(({ name }) => name) });
  metrics.askSilences(() => workloads.silences());
  const retention = new RetentionService({
    database,
    configuration,
    pullsCounted,
    granted,
    workloads,
    workloadsOf: workloadsOf(settings.tenants),
    isProtected,
    history,
  });
  const control: ControlServices = {
    record: {
      state: async () => {
        const state = await publish.state();
        const controlPlane = options.controlPlane?.status();
        return controlPlane === undefined ? state : { ...state, controlPlane };
      },
      publish: async (request, identity) => {
        const state = await publish.publish(request);
        history.note({ identity, action: "publish", reference: request.revision });
        return state;
      },
    },
    resources: () => options.controlPlane?.resources() ?? publishedViews(configuration.current()),
    runs: new Runs({ database, configuration, secrets }),
    proposals,
    retention,
    workloads,
    shadowed: (repository) => shadowedTags({ database, source: proxyPull }, repository),
    prefetch: (request) => prefetch.prefetch(request),
    delete: (request, identity) => deleteImage({ database, store, logger, beforeDeletion, isProtected }, request, identity),
    restore: (request, identity) => restore(database, request, identity, mayMissBlobs),
    adopt: (signal, identity) => adopt({ database, store, marker, signal, identity, logger }),
    backup,
    gc: {
      status: () => collector.status(),
      resume: async (identity) => {
        const resumed = await collector.resume();
        if (resumed) history.note({ identity, action: "gc-resume" });
        return { resumed, ...(await collector.status()) };
      },
    },
    probe: (upstream) => upstreams.probe(upstream),
    upstreams: async () => upstreams.views(),
    versions: (repository) => versionsOf({ database, configuration, copies }, repository),
    audit: async function* (request, signal) {
      const refused = request.repair === true ? await writability.refusal("TakeAway") : undefined;
      if (refused !== undefined) throw refused;
      yield* audit({ database, store, signal, mayMissBlobs }, request);
    },
    repositories: (mayPull) => listRepositories(database, mayPull),
    usage: () => storageUsage(database),
    activity: () => listActivity(database),
  };
  return { configuration, ownPull, proxyPull, push, control, boundRuns, history, writability };
}

function writabilityOf({ settings, databaseFolder }: RegistryOptions): Writability {
  if (settings.readOnly) return onlyReading;
  return databaseFolder === undefined
    ? writable
    : aboveLowWater({ folder: databaseFolder, lowWaterBytes: settings.database.lowWaterBytes });
}

function countPulls({ database, logger }: { readonly database: Database; readonly logger: Logger }, closing: Closing): PullStatistics {
  const statistics = new CollectedPullStatistics({
    database,
    onError: (error) => logger.warn({ err: error }, "pulls could not be counted"),
  });
  statistics.start();
  closing.add(() => statistics.stop());
  return statistics;
}

const uncounted: PullStatistics = { record: () => undefined };

function housekeepingTurn(options: Omit<SharedTurnOptions, "name"> & { readonly alone: boolean }, closing: Closing): Turn {
  if (options.alone) return alwaysMine;
  const turn = new SharedTurn({ ...options, name: "housekeeping" });
  turn.start();
  closing.add(() => turn.stop());
  return turn;
}

/** What a namespace's policies may select: everything where the settings grant nothing special (the operator judged whether it counts). */
function grantsOf(tenants: Settings["tenants"]): (namespace: string, repository: string) => boolean {
  const granted = new Map<string, NameTest>();
  for (const [namespace, grants] of Map.groupBy(tenants, (tenant) => tenant.namespace)) {
    granted.set(namespace, compileGlobs(grants.flatMap(({ repositories }) => repositories)));
  }
  return (namespace, repository) => granted.get(namespace)?.(repository) ?? true;
}

/** Namespaces that a report has to cover for a namespace's policies; undefined, also when one of its grants says nothing of it: the whole cluster. */
function workloadsOf(tenants: Settings["tenants"]): (namespace: string) => readonly string[] | undefined {
  return (namespace) => {
    const named = tenants.filter((tenant) => tenant.namespace === namespace).map(({ workloads }) => workloads);
    return named.length === 0 || named.includes(undefined) ? undefined : [...new Set(named.flatMap((namespaces) => namespaces ?? []))];
  };
}

function bytesAllowedBy({ repositoryBytes, overrides }: Settings["limits"]): BytesAllowed {
  const rules = [
    ...overrides.map((override) => ({ names: compileGlobs(override.repositories), bytes: override.repositoryBytes })),
    { names: () => true, bytes: repositoryBytes },
  ];
  return (repository) => rules.find(({ names }) => names(repository))?.bytes || undefined;
}
