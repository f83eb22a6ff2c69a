// The registry process: database, blob store, services and HTTP, wired by hand.

import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

import { localUrl } from "../config/listen.ts";
import { startProbes } from "../listeners/probes.ts";
import { freeBytesOf } from "../observability/free-bytes.ts";
import { certificateMetrics } from "../observability/certificate-metrics.ts";
import { createMetrics } from "../observability/metrics.ts";
import type { BlobStore } from "./blobs/blob-store.ts";
import { openBlobStore } from "./blobs/open-store.ts";
import { Authenticator } from "./http/authentication.ts";
import { Callers } from "./http/callers.ts";
import { Certificate } from "./http/certificate.ts";
import { Challenges, serviceOf } from "./http/challenge.ts";
import { clientAddressBehind, forwardedSchemeBehind, proxiesOf } from "./http/client-address.ts";
import { openListeners } from "./http/listeners.ts";
import { Pressure } from "./http/pressure.ts";
import { PublishedAccess } from "./http/published-access.ts";
import { PublishedRepositories } from "./http/repositories.ts";
import { scannersBy } from "./http/scanners.ts";
import { TokenRoute } from "./http/token-route.ts";
import { Transfers } from "./http/transfers.ts";
import { V2 } from "./http/v2.ts";
import { Database } from "./metadata/database.ts";
import { migrate, requireSchema } from "./metadata/migrate.ts";
import { checkServer } from "./metadata/server-check.ts";
import { listRepositories as listNames } from "./metadata/repositories.ts";
import { backedUp } from "./services/backup.ts";
import { Marker } from "./services/marker.ts";
import { readinessOf } from "./services/readiness.ts";
import { openWhole, type Closing } from "./closing.ts";
import type { RegistryOptions } from "./options.ts";
import { openTokens, principalsOf } from "./principals.ts";
import { startServices } from "./services-wiring.ts";
import { openAccessTokens } from "./tokens-wiring.ts";

export interface RunningRegistry {
  /** `http://host:port` of the images, with the port that was taken. */
  readonly url: string;
  /** Of the control API: the same, unless that has a listener of its own. */
  readonly controlUrl: string;
  /** Of probes and metrics, where they have a listener of their own. */
  readonly adminUrl: string | undefined;
  /** Readiness off and, after `stop.delay`, no new connections; running transfers to their end or the grace period, then everything closed. */
  stop(): Promise<void>;
}

/** Rejects when the database is newer than this program, the store is another installation's or process's, or the address is taken; nothing stays open then. */
export function startRegistry(options: RegistryOptions): Promise<RunningRegistry> {
  return openWhole((closing) => start(options, closing));
}

async function openMarker(options: RegistryOptions, database: Database, { named }: BlobStore): Promise<Marker> {
  const { blobs, logger, acceptStore, commandFlags = "" } = options;
  const place = "folder" in blobs ? `the folder ${blobs.folder}` : `the bucket ${blobs.s3.bucket}`;
  const store = "s3" in blobs && blobs.s3.prefix !== "" ? `${place} under ${blobs.s3.prefix}` : place;
  const words = { store, flags: commandFlags };
  const { readOnly } = options.settings;
  const marker = await Marker.open({ database, named, logger, words, acceptStore, readOnly });
  if (!readOnly) marker.start();
  return marker;
}

async function openCertificate({ tls, logger }: RegistryOptions, closing: Closing): Promise<Certificate | undefined> {
  if (tls === undefined) return undefined;
  const certificate = await Certificate.open(tls, { logger });
  closing.add(async () => certificate.close());
  return certificate;
}

async function start(options: RegistryOptions, closing: Closing): Promise<RunningRegistry> {
  const { settings, secrets, logger } = options;
  const principals = principalsOf(settings);
  const tokens = await openTokens(settings, { logger, closing, trustHosts: options.trustUpstreamHosts ?? false });
  const certificate = await openCertificate(options, closing);
  const database = new Database({
    ...options.database,
    readOnly: settings.readOnly,
    // At a stop the database may be gone first.
    onTrouble: (message) => {
      if (!closing.begun) logger.warn(message);
    },
  });
  closing.add(() => database.close());
  const onWait = (why: string) => logger.info(why);
  const { readOnly } = settings;
  for (const warning of await checkServer(database, { readOnly })) logger.warn(warning);
  const store = await openBlobStore(options.blobs, { ...settings.storage, readOnly });
  closing.add(() => store.close());
  const backup = { database, named: store.named, times: settings.backup, version: options.version, logger, pod: randomUUID() };
  const migrated = readOnly ? await requireSchema(database) : await backedUp(backup, () => migrate(database, { onWait }));
  if (migrated.length > 0) logger.info({ migrations: migrated }, "the database schema is up to date");
  const marker = await openMarker(options, database, store);
  closing.add(() => marker.stop());

  let revision = (): string | null => null;
  const metrics = createMetrics({ version: options.version, revision: () => revision() });
  const services = await startServices(options, database, { store, marker }, closing, metrics);
  const { configuration } = services;
  revision = () => configuration.current().revision;

  const accessTokens = await openAccessTokens(options, database, closing);
  const { users, robots } = settings.access;
  const authenticator = new Authenticator({
    htpasswd: () => secrets.secret(users.secretRef.namespace, users.secretRef.name)?.get("htpasswd"),
    robots: () => secrets.secret(robots.secretRef.namespace, robots.secretRef.name),
    adminToken: options.adminToken,
    ...(tokens === undefined ? {} : { tokens }),
    accessTokens,
    logger,
  });
  closing.add(() => authenticator.close());
  const ownHosts = [...(settings.externalURL === undefined ? [] : [new URL(settings.externalURL).host]), ...settings.access.hosts];
  const repositories = new PublishedRepositories({ configuration, own: services.ownPull, proxied: services.proxyPull, hosts: ownHosts });
  const rights = new PublishedAccess({
    configuration,
    secrets,
    anonymousPull: settings.access.anonymousPull,
    openUntilFirstPolicy: options.openOnLoopback || options.allowAnonymous,
    tenants: settings.tenants,
  });
  const access = () => rights.current();
  const callers = new Callers({
    authenticator,
    principals,
    access,
    confirm: () => configuration.confirm({ evenOld: true }),
    runOf: (pod) => services.boundRuns.of(pod),
  });
  const nameOf = (name: string) => repositories.find(name, undefined)?.name;
  const [leaving, stopping] = [new AbortController(), new AbortController()];
  const { hosts, trustedProxies } = settings.access;
  const behindProxy = hosts.length > 0 || trustedProxies.length > 0;
  const clientAddress = clientAddressBehind(trustedProxies);
  const transfers = new Transfers(settings.limits.transfersPerIdentity);
  const pressure = new Pressure({ database, transfers, onRefused: (reason) => metrics.shed(reason) });
  metrics.countTransfers(() => transfers.all);
  metrics.measureFree("blobs", () => store.freeBytes());
  metrics.measureFree("spool", () => store.freeSpoolBytes());
  const { databaseFolder } = options;
  if (databaseFolder !== undefined) metrics.measureFree("database", () => freeBytesOf(databaseFolder));

  const readiness = readinessOf({
    database,
    store,
    configuration,
    stopping: leaving.signal,
    controlPlane: () => options.controlPlane?.status(),
    looked: options.looked,
  });
  await options.beforeListening?.();
  const { adminListen } = options;
  const admin =
    adminListen &&
    (await startProbes({
      listen: adminListen,
      option: "--admin-listen",
      checks: () => readiness({ detailed: true }),
      metrics: metrics.registry,
    }));
  // Last: while transfers end, it says why the process is not ready.
  if (admin !== undefined) closing.add(() => admin.stop());

  if (certificate !== undefined) certificateMetrics(metrics.registry, certificate);
  const { listen, controlListen, openOnLoopback, headersTimeout } = options;
  const visitors = { hosts, ...(openOnLoopback ? { loopbackHost: listen.host } : {}) };
  const { externalURL } = settings;
  const serving = {
    listen,
    controlListen,
    certificate,
    shares: options.connections,
    isProxy: proxiesOf(trustedProxies),
    direct: openOnLoopback || options.controlPlane !== undefined,
    visitors,
    stallTimeout: settings.uploads.stallTimeout,
    logger,
    ...(headersTimeout === undefined ? {} : { headersTimeout }),
  };
  const listeners = await openListeners(serving, {
    v2: new V2({
      repositories,
      push: services.push,
      catalog: {
        names: async ({ limit, after }) => {
          const found = await listNames(database, { limit: limit + 1, ...(after === undefined ? {} : { after }) });
          return { names: found.slice(0, limit).map(({ name }) => name), more: found.length > limit };
        },
      },
      callers,
      challenges: new Challenges({
        ...(externalURL === undefined ? {} : { externalURL }),
        visitors,
        forwardedScheme: forwardedSchemeBehind(trustedProxies),
        ready: () => accessTokens.ready,
      }),
      access,
      confirm: (evenOld) => configuration.confirm(evenOld),
      stallTimeout: settings.uploads.stallTimeout,
      clientAddress,
      transfers,
      pressure,
      writability: services.writability,
      isScanner: scannersBy(settings.retention.scanners),
      readOnly,
      logger,
      onChange: (change) => services.history.note(change),
      onTokenRefused: (reason) => metrics.tokenRefused(reason),
      onAnswer: (answer) => metrics.answered(answer),
    }),
    token: new TokenRoute({
      callers,
      access,
      confirm: () => configuration.confirm({ evenOld: true }),
      nameOf,
      issue: (content) => accessTokens.issue(content),
      service: serviceOf(externalURL),
      clientAddress,
      logger,
      metrics,
      stallTimeout: settings.uploads.stallTimeout,
    }),
    control: {
      services: services.control,
      writability: services.writability,
      callers,
      clientAddress,
      access,
      confirm: () => configuration.confirm({ evenOld: false }),
      nameOf,
      logger,
      stopping: stopping.signal,
    },
    ...(admin === undefined
      ? {
          probes: {
            readiness,
            metrics,
            callers,
            clientAddress,
            // Behind a proxy (a named host is one's) anybody comes from loopback.
            openMetrics: () => options.openOnLoopback && !behindProxy && access().open,
          },
        }
      : {}),
  });
  if (readOnly) logger.warn("read-only: pulls go on, nothing is pushed, deleted, collected or published");
  closing.add(async () => {
    leaving.abort();
    listeners.leave();
    // Whoever sends clients here has to notice first: a connection that is refused is a pull that failed.
    await sleep(settings.stop.delay);
    stopping.abort();
    await listeners.drain({ grace: options.grace ?? settings.stop.grace });
  });
  const { url, controlUrl } = listeners;
  const adminUrl = admin && adminListen && localUrl({ ...adminListen, port: admin.port });
  return { url, controlUrl, adminUrl, stop: () => closing.run() };
}
