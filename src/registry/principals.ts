// Who is what, by the settings (access.md, "Control API"), and the tokens by which they are known.

import { sharedAccounts, type Principals } from "../domain/control-access.ts";
import type { Logger } from "../observability/logger.ts";
import type { Closing } from "./closing.ts";
import { configuredIssuers } from "./issuers/configured.ts";
import { KeyRing } from "./issuers/key-ring.ts";
import { ServiceAccountTokens } from "./issuers/service-account-tokens.ts";
import type { RegistryOptions } from "./options.ts";

type Settings = RegistryOptions["settings"];

/** Throws an Error that says which setting is wrong. */
export function principalsOf({ access, clusters, auth }: Settings): Principals {
  const { admins, operator, jobs } = access;
  const reporters = clusters.flatMap(({ name, reporter }) => (reporter === undefined ? [] : [{ cluster: name, account: reporter }]));
  const twice = clusters.find(({ name }, index) => clusters.findIndex((other) => other.name === name) < index);
  if (twice !== undefined) throw new Error(`The setting clusters names ${twice.name} twice.`);
  const principals: Principals = {
    admins,
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
  const named = [...admins, operator, jobs, ...reporters.map(({ account }) => account)].filter((account) => typeof account === "object");
  const unknown = named.find(({ issuer }) => !auth.issuers.some(({ name }) => name === issuer));
  if (unknown !== undefined) {
    throw new Error(
      `The settings name the ServiceAccount ${unknown.namespace}/${unknown.name} of ${unknown.issuer}, which auth.issuers does not: say there where its keys are.`,
    );
  }
  return principals;
}

/** Undefined when no issuer is configured. Rejects with an Error that says which setting is wrong. */
export async function openTokens(
  { auth, externalURL }: Settings,
  { logger, closing }: { readonly logger: Logger; readonly closing: Closing },
): Promise<ServiceAccountTokens | undefined> {
  if (auth.issuers.length === 0) return undefined;
  if (externalURL === undefined)
    throw new Error("auth.issuers needs the setting externalURL: a token counts when its audience is that host.");
  const keys = await KeyRing.open({ issuers: await configuredIssuers(auth.issuers), logger });
  closing.add(async () => keys.close());
  return new ServiceAccountTokens({ keys, audience: new URL(externalURL).host });
}
