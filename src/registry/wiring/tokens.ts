// The access tokens of an installation, by its settings: whose keys, for whom, and how they end.

import { serviceOf } from "../http/login/challenge.ts";
import type { Closing } from "../closing.ts";
import type { Database } from "../metadata/database.ts";
import { readInstallation } from "../metadata/installation.ts";
import type { RegistryOptions } from "../options.ts";
import { AccessTokens } from "../tokens/access-tokens.ts";
import { SecretKeys } from "../tokens/secret-keys.ts";
import type { SigningKeys } from "../tokens/signing-key.ts";
import { StoredKeys } from "../tokens/stored-keys.ts";

/** Rejects when the database does not answer. */
export async function openAccessTokens(options: RegistryOptions, database: Database, closing: Closing): Promise<AccessTokens> {
  const { id } = await readInstallation(database);
  const keys = await openKeys(options, database, closing);
  return new AccessTokens({ keys, installation: `urn:uuid:${id}`, service: serviceOf(options.settings.externalURL) });
}

async function openKeys({ settings, secrets, logger }: RegistryOptions, database: Database, closing: Closing): Promise<SigningKeys> {
  const { signingKeySecret } = settings.auth;
  if (signingKeySecret === undefined) {
    const keys = await StoredKeys.open({ database, readOnly: settings.readOnly, logger });
    closing.add(() => keys.stop());
    return keys;
  }
  const { keys, stop } = await SecretKeys.open({ secrets, ref: signingKeySecret, logger });
  closing.add(async () => stop());
  return keys;
}
