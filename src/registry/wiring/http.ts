// The listeners and what answers on them, wired by hand.

import type { Readiness } from "../services/upkeep/readiness.ts";
import type { RegistryMetrics } from "../../observability/metrics.ts";
import type { Access } from "./access.ts";
import type { Certificate } from "../http/listening/certificate.ts";
import { Challenges, serviceOf } from "../http/login/challenge.ts";
import { clientAddressBehind, forwardedSchemeBehind, proxiesOf } from "../http/client-address.ts";
import { openListeners, type Listeners } from "../http/listening/listeners.ts";
import { Pressure } from "../http/limits/pressure.ts";
import { PublishedRepositories } from "../http/v2/repositories.ts";
import { scannersBy } from "../http/v2/scanners.ts";
import { TokenRoute } from "../http/login/token-route.ts";
import { Transfers } from "../http/limits/transfers.ts";
import { V2 } from "../http/v2/v2.ts";
import type { Database } from "../metadata/database.ts";
import { listRepositories } from "../metadata/repositories.ts";
import type { RegistryOptions } from "../options.ts";
import type { Services } from "./services.ts";

export interface HttpParts extends Access {
  readonly database: Database;
  readonly services: Services;
  readonly certificate: Certificate | undefined;
  readonly metrics: RegistryMetrics;
  /** For `/readyz` beside the images; undefined: probes have a listener of their own. */
  readonly readiness: Readiness | undefined;
  readonly transfers: Transfers;
  /** Aborted: answers that wait for news end. */
  readonly stopping: AbortSignal;
}

/** Rejects with an Error that says what to do when an address cannot be had. */
export function openHttp(options: RegistryOptions, parts: HttpParts): Promise<Listeners> {
  const { settings, logger, openOnLoopback, headersTimeout, listen, controlListen } = options;
  const { services, accessTokens, callers, access, metrics, transfers } = parts;
  const { configuration, writability } = services;
  const { externalURL } = settings;
  const { hosts, trustedProxies } = settings.access;
  const { stallTimeout } = settings.uploads;
  const visitors = { hosts, ...(openOnLoopback ? { loopbackHost: listen.host } : {}) };
  const clientAddress = clientAddressBehind(trustedProxies);
  const repositories = repositoriesOf(options, services);
  const nameOf = (name: string) => repositories.find(name, undefined)?.name;
  const confirmEvenOld = () => configuration.confirm({ evenOld: true });
  const serving = {
    listen,
    controlListen,
    certificate: parts.certificate,
    shares: options.connections,
    isProxy: proxiesOf(trustedProxies),
    direct: openOnLoopback || options.controlPlane !== undefined,
    visitors,
    stallTimeout,
    logger,
    ...(headersTimeout === undefined ? {} : { headersTimeout }),
  };
  const v2 = new V2({
    repositories,
    push: services.push,
    catalog: catalogOf(parts.database),
    callers,
    challenges: new Challenges({
      ...(externalURL === undefined ? {} : { externalURL }),
      visitors,
      forwardedScheme: forwardedSchemeBehind(trustedProxies),
      ready: () => accessTokens.ready,
    }),
    access,
    confirm: (evenOld) => configuration.confirm(evenOld),
    stallTimeout,
    clientAddress,
    transfers,
    pressure: new Pressure({ database: parts.database, transfers, onRefused: (reason) => metrics.shed(reason) }),
    writability,
    isScanner: scannersBy(settings.retention.scanners),
    readOnly: settings.readOnly,
    logger,
    onChange: (change) => services.history.note(change),
    onTokenRefused: (reason) => metrics.tokenRefused(reason),
    onAnswer: (answer) => metrics.answered(answer),
  });
  const token = new TokenRoute({
    callers,
    access,
    confirm: confirmEvenOld,
    nameOf,
    issue: (content) => accessTokens.issue(content),
    service: serviceOf(externalURL),
    clientAddress,
    logger,
    metrics,
    stallTimeout,
  });
  const control = {
    services: services.control,
    writability,
    callers,
    clientAddress,
    access,
    confirm: () => configuration.confirm({ evenOld: false }),
    nameOf,
    logger,
    stopping: parts.stopping,
  };
  const { readiness } = parts;
  if (readiness === undefined) return openListeners(serving, { v2, token, control });
  // Behind a proxy (a named host is one's) anybody comes from loopback.
  const behindProxy = hosts.length > 0 || trustedProxies.length > 0;
  const openMetrics = () => openOnLoopback && !behindProxy && access().open;
  return openListeners(serving, { v2, token, control, probes: { readiness, metrics, callers, clientAddress, openMetrics } });
}

function repositoriesOf({ settings }: RegistryOptions, { configuration, ownPull, proxyPull }: Services): PublishedRepositories {
  const { externalURL, access } = settings;
  const hosts = [...(externalURL === undefined ? [] : [new URL(externalURL).host]), ...access.hosts];
  return new PublishedRepositories({ configuration, own: ownPull, proxied: proxyPull, hosts });
}

function catalogOf(database: Database) {
  return {
    names: async ({ limit, after }: { readonly limit: number; readonly after?: string | undefined }) => {
      const found = await listRepositories(database, { limit: limit + 1, ...(after === undefined ? {} : { after }) });
      return { names: found.slice(0, limit).map(({ name }) => name), more: found.length > limit };
    },
  };
}
