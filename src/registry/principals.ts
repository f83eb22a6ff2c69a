// Who is what, by the settings (access.md, "Control API"), and the tokens by which they are known.

import { accountOf, sharedAccounts, type Principals } from "../domain/control-access.ts";
import type { Logger } from "../observability/logger.ts";
import type { Closing } from "./closing.ts";
import { configuredIssuers } from "./issuers/configured.ts";
import { IssuerTokens } from "./issuers/issuer-tokens.ts";
import { KeyRings } from "./issuers/key-rings.ts";
import type { RegistryOptions } from "./options.ts";
import { createAgent } from "./upstream/connector.ts";
import { EgressPolicy } from "./upstream/egress.ts";

type Settings = RegistryOptions["settings"];

/** Throws an Error that says which setting is wrong. */
export function principalsOf({ access, clusters, auth }: Settings): Principals {
  const { operator, jobs } = access;
  const reporters = clusters.flatMap(({ name, reporter }) => (reporter === undefined ? [] : [{ cluster: name, account: reporter }]));
  const twice = clusters.find(({ name }, index) => clusters.findIndex((other) => other.name === name) < index);
  if (twice !== undefined) throw new Error(`The setting clusters names ${twice.name} twice.`);
  const principals: Principals = {
    admins: access.admins,
    reporters,
    ...(operator === undefined ? {} : { operator }),
    ...(jobs === undefined ? {} : { jobs }),
  };
  const [shared] = sharedAccounts(principals);
  if (shared !== undefined) {
    throw new Error(
      `The settings give the ServiceAccount ${shared.namespace}/${shared.name} of ${shared.issuer} two parts: access.operator, access.jobs, each clusters[].reporter and what access.admins names need one of their own.`,
    );
  }
  const admins = access.admins.flatMap((admin) => (admin.kind === "ServiceAccount" ? [accountOf(admin)] : []));
  const named = [...admins, operator, jobs, ...reporters.map(({ account }) => account)].filter((account) => account !== undefined);
  const unknown = named.find(({ issuer }) => !auth.issuers.some(({ name, kind }) => name === issuer && kind !== "OIDC"));
  if (unknown !== undefined) {
    throw new Error(
      `The settings name the ServiceAccount ${unknown.namespace}/${unknown.name} of ${unknown.issuer}, which is no cluster of auth.issuers: say there where its keys are.`,
    );
  }
  const whole = admins.find(({ name }) => name === "*");
  if (whole !== undefined) {
    throw new Error(
      `access.admins names all ServiceAccounts of ${whole.namespace}: whoever makes a Pod there would be an administrator. Name single ones.`,
    );
  }
  for (const admin of access.admins) {
    if (admin.kind === "User" || admin.kind === "ServiceAccount") continue;
    if (auth.issuers.some(({ name, kind }) => name === admin.issuer && kind === "OIDC")) continue;
    throw new Error(
      `access.admins has a subject of kind ${admin.kind} of ${admin.issuer}, which is no OpenID provider of auth.issuers (kind: OIDC). In clusters name single ServiceAccounts.`,
    );
  }
  return principals;
}

interface TokenSurroundings {
  readonly logger: Logger;
  readonly closing: Closing;
  /** Who wrote the settings owns the process: OpenID providers that they name may be at private addresses. */
  readonly trustHosts: boolean;
}

/** Undefined when no issuer is configured. Rejects with an Error that says which setting is wrong. */
export async function openTokens(
  { auth, egress, externalURL }: Settings,
  { logger, closing, trustHosts }: TokenSurroundings,
): Promise<IssuerTokens | undefined> {
  if (auth.issuers.length === 0) return undefined;
  if (externalURL === undefined)
    throw new Error("auth.issuers needs the setting externalURL: a token counts when its audience is that host.");
  const policy = new EgressPolicy({ allowedCIDRs: egress.allowedCIDRs, trustOwnHosts: trustHosts });
  const keys = await KeyRings.open({ issuers: await configuredIssuers(auth.issuers, agentBy(policy)), logger });
  closing.add(async () => keys.close());
  return new IssuerTokens({ keys, audience: new URL(externalURL).host });
}

/** Milliseconds. */
const timeouts = { connect: 5_000, firstByte: 5_000, idle: 5_000 };

/** Connections to OpenID providers go where those to Upstreams may go. Those to clusters do not: an API server has a private address. */
function agentBy(policy: EgressPolicy) {
  return (url: URL, authority: string | undefined) =>
    createAgent(
      {
        key: "auth.issuers",
        url,
        insecure: false,
        allowedHosts: [],
        credentials: { state: "anonymous" },
        tls: authority === undefined ? {} : { authority },
        timeouts,
        rateLimit: { reservePercent: 0 },
      },
      policy,
    );
}
