// The record as the settings say it: where its remote is, and with which Secrets (design: record, "When Git is not well").

import type { RecordSettings, RemoteSettings } from "../domain/record-settings.ts";
import type { SecretSource } from "../domain/secrets.ts";
import { namedSecret, type NamedSecret } from "./named-secret.ts";

export interface RemoteOptions extends Omit<RemoteSettings, "secretRef"> {
  /** The one with the credentials; undefined: the settings name none. */
  readonly secret?: NamedSecret;
}

type Secrets = Pick<SecretSource, "secret" | "unseen">;

/** The remote of the settings with its Secret; undefined when there is none, and the record stays on this machine. */
export function remoteOf(settings: RemoteSettings | undefined, secrets: Secrets): RemoteOptions | undefined {
  if (settings?.secretRef === undefined) return settings;
  const { secretRef, ...rest } = settings;
  return { ...rest, secret: namedSecret(secretRef, secrets) };
}

/** What the settings say of a record that is opened. */
export function recordOptionsOf({ author, remote, signing, verify }: RecordSettings, secrets: Secrets) {
  return {
    author,
    remote: remoteOf(remote, secrets),
    signingKey: signing && namedSecret(signing.secretRef, secrets),
    allowedSigners: verify?.allowedSigners,
  };
}
