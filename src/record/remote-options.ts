// Where the record's remote is, as the settings say it (design: record, "When Git is not well").

import type { RemoteSettings } from "../domain/record-settings.ts";
import type { SecretData, SecretSource } from "../domain/secrets.ts";

export interface RemoteOptions extends Omit<RemoteSettings, "secretRef"> {
  /** The Secret with the credentials as it is at this moment; undefined: the settings name none. */
  readonly secret?: { readonly name: string; readonly read: () => SecretData | undefined };
}

/** The remote of the settings with its Secret; undefined when there is none, and the record stays on this machine. */
export function remoteOf(settings: RemoteSettings | undefined, secrets: Pick<SecretSource, "secret">): RemoteOptions | undefined {
  if (settings?.secretRef === undefined) return settings;
  const { secretRef, ...rest } = settings;
  const { namespace, name } = secretRef;
  return { ...rest, secret: { name: `${namespace}/${name}`, read: () => secrets.secret(namespace, name) } };
}
