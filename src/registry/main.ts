// The registry process: database, blob store, services and HTTP, wired by hand.

import { setTimeout as sleep } from "node:timers/promises";

import { localUrl } from "../config/listen.ts";
import { startProbes } from "../listeners/probes.ts";
import { certificateMetrics } from "../observability/certificate-metrics.ts";
import { freeBytesOf } from "../observability/free-bytes.ts";
import { createMetrics, type RegistryMetrics } from "../observability/metrics.ts";
import { openAccess } from "./wiring/access.ts";
import { openWhole, type Closing } from "./closing.ts";
import { openHttp } from "./wiring/http.ts";
import { Certificate } from "./http/listening/certificate.ts";
import { sayMissingName } from "./http/listening/certificate-names.ts";
import { Transfers } from "./http/limits/transfers.ts";
import type { RegistryOptions } from "./options.ts";
import { openTokens, principalsOf } from "./principals.ts";
import { readinessOf } from "./services/upkeep/readiness.ts";
import { startServices } from "./wiring/services.ts";
import { openStores, type Stores } from "./wiring/stores.ts";

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

async function openCertificate({ tls, logger, settings }: RegistryOptions, closing: Closing): Promise<Certificate | undefined> {
  if (tls === undefined) return undefined;
  const certificate = await Certificate.open(tls, { logger });
  closing.add(async () => certificate.close());
  sayMissingName(certificate, { externalURL: settings.externalURL, logger });
  return certificate;
}

async function start(options: RegistryOptions, closing: Closing): Promise<RunningRegistry> {
  const { settings, logger, adminListen } = options;
  // What the settings say of accounts is wrong or right whatever becomes of the database.
  const principals = principalsOf(settings);
  const tokens = await openTokens(settings, { logger, closing, trustHosts: options.trustUpstreamHosts ?? false });
  const certificate = await openCertificate(options, closing);
  const stores = await openStores(options, closing);
  const { database, store } = stores;

  let revision = (): string | null => null;
  const metrics = createMetrics({ version: options.version, revision: () => revision() });
  const services = await startServices(options, database, stores, closing, metrics);
  const { configuration } = services;
  revision = () => configuration.current().revision;
  const access = await openAccess(options, { database, services, principals, tokens }, closing);
  const transfers = new Transfers(settings.limits.transfersPerIdentity);
  measure(metrics, { options, stores, transfers });

  const [leaving, stopping] = [new AbortController(), new AbortController()];
  const readiness = readinessOf({
    database,
    store,
    configuration,
    stopping: leaving.signal,
    controlPlane: () => options.controlPlane?.status(),
    looked: options.looked,
  });
  await options.beforeListening?.();
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
  const listeners = await openHttp(options, {
    ...access,
    database,
    services,
    certificate,
    metrics,
    readiness: admin === undefined ? readiness : undefined,
    transfers,
    stopping: stopping.signal,
  });
  if (settings.readOnly) logger.warn("read-only: pulls go on, nothing is pushed, deleted, collected or published");
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

interface Measured {
  readonly options: RegistryOptions;
  readonly stores: Stores;
  readonly transfers: Transfers;
}

function measure(metrics: RegistryMetrics, { options: { databaseFolder }, stores: { store }, transfers }: Measured): void {
  metrics.countTransfers(() => transfers.all);
  metrics.measureFree("blobs", () => store.freeBytes());
  metrics.measureFree("spool", () => store.freeSpoolBytes());
  if (databaseFolder !== undefined) metrics.measureFree("database", () => freeBytesOf(databaseFolder));
}
