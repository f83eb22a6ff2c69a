// Who somebody is, and what he may: wired by hand.

import type { Closing } from "../closing.ts";
import { Authenticator } from "../http/login/authentication.ts";
import { Callers } from "../http/login/callers.ts";
import { PublishedAccess } from "../http/login/published-access.ts";
import type { Principals } from "../../domain/control-access.ts";
import type { Database } from "../metadata/database.ts";
import type { RegistryOptions } from "../options.ts";
import type { openTokens } from "../principals.ts";
import type { Services } from "./services.ts";
import { openAccessTokens } from "./tokens.ts";

export interface Access {
  readonly accessTokens: Awaited<ReturnType<typeof openAccessTokens>>;
  readonly callers: Callers;
  readonly access: () => ReturnType<PublishedAccess["current"]>;
}

export interface AccessParts {
  readonly database: Database;
  readonly services: Services;
  readonly principals: Principals;
  /** Of issuers; undefined where none is named. */
  readonly tokens: Awaited<ReturnType<typeof openTokens>>;
}

export async function openAccess(
  options: RegistryOptions,
  { database, services, principals, tokens }: AccessParts,
  closing: Closing,
): Promise<Access> {
  const { settings, secrets, logger } = options;
  const { configuration } = services;
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
  return { accessTokens, callers, access };
}
