// The registry process: database, blob store, services and HTTP, wired by hand.

import { randomUUID } from "node:crypto";

import { freeBytesOf } from "../observability/free-bytes.ts";
import { createMetrics } from "../observability/metrics.ts";
import type { BlobStore } from "./blobs/blob-store.ts";
import { openBlobStore } from "./blobs/open-store.ts";
import { Authenticator } from "./http/authentication.ts";
import { Callers } from "./http/callers.ts";
import { clientAddressBehind } from "./http/client-address.ts";
import { drain, listen } from "./http/listening.ts";
import { Pressure } from "./http/pressure.ts";
import { PublishedAccess } from "./http/published-access.ts";
import { PublishedRepositories } from "./http/repositories.ts";
import { scannersBy } from "./http/scanners.ts";
import { buildServer } from "./http/server.ts";
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

export interface RunningRegistry {
  /** `http://host:port`, with the port that was taken. */
  readonly url: string;
  /** Readiness off, no new connections, running transfers to their end or the grace period, then everything closed. */
  stop(): Promise<void>;
}

const defaultGrace = 10_000;

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

async function start(options: RegistryOptions, closing: Closing): Promise<RunningRegistry> {
  const { settings, secrets, logger } = options;
  const principals = principalsOf(settings);
  const tokens = await openTokens(settings, { logger, closing });
  const database = new Database({
    ...options.database,
    readOnly: settings.readOnly,
    // At a stop the database may be gone first.
    onTrouble: (message) => {
      if (!closing.begun) logger.warn(message);
    },
  });
  closing.add(() => database.close());
  const { startPatience } = options.database;
  const onWait = (why: string) => logger.info(why);
  const { readOnly } = settings;
  for (const warning of await checkServer(database, { patience: startPatience, readOnly, onWait })) logger.warn(warning);
  const store = await openBlobStore(options.blobs, settings.storage);
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

  const { namespace, name } = settings.access.users.secretRef;
  const authenticator = new Authenticator({
    htpasswd: () => secrets.secret(namespace, name)?.get("htpasswd"),
    adminToken: options.adminToken,
    ...(tokens === undefined ? {} : { tokens }),
    logger,
  });
  closing.add(() => authenticator.close());
  const callers = new Callers({ authenticator, principals, runOf: (pod) => services.boundRuns.of(pod) });
  const repositories = new PublishedRepositories({ configuration, own: services.ownPull, proxied: services.proxyPull });
  const rights = new PublishedAccess({
    configuration,
    anonymousPull: settings.access.anonymousPull,
    openUntilFirstPolicy: options.openOnLoopback || options.allowAnonymous,
    tenants: settings.tenants,
  });
  const access = () => rights.current();
  const nameOf = (name: string) => repositories.find(name, undefined)?.name;
  const stopping = new AbortController();
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
      callers,
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
      onAnswer: (answer) => metrics.answered(answer),
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
    probes: {
      readiness: readinessOf({
        database,
        store,
        configuration,
        stopping: stopping.signal,
        controlPlane: () => options.controlPlane?.status(),
      }),
      metrics,
      callers,
      clientAddress,
      // Behind a proxy (a named host is one's) anybody comes from loopback.
      openMetrics: () => options.openOnLoopback && !behindProxy && access().open,
    },
    direct: options.openOnLoopback || options.controlPlane !== undefined,
    visitors: { hosts, ...(options.openOnLoopback ? { loopbackHost: options.listen.host } : {}) },
    stallTimeout: settings.uploads.stallTimeout,
    logger,
    ...(options.headersTimeout === undefined ? {} : { headersTimeout: options.headersTimeout }),
  });
  const url = await listen(app, options.listen);
  if (readOnly) logger.warn("read-only: pulls go on, nothing is pushed, deleted, collected or published");
  closing.add(() => {
    stopping.abort();
    return drain(app, { grace: options.grace ?? defaultGrace });
  });
  return { url, stop: () => closing.run() };
}
