// A Secret that the settings name, as it is at this moment.

import type { SecretData, SecretSource } from "../domain/secrets.ts";

export interface NamedSecret {
  /** namespace/name */
  readonly name: string;
  readonly read: () => SecretData | undefined;
  /** Why `read` says nothing, where that is not because there is no such Secret. */
  readonly unseen?: () => string | undefined;
}

export function namedSecret(
  { namespace, name }: { readonly namespace: string; readonly name: string },
  secrets: Pick<SecretSource, "secret" | "unseen">,
): NamedSecret {
  return {
    name: `${namespace}/${name}`,
    read: () => secrets.secret(namespace, name),
    unseen: () => secrets.unseen?.(namespace, name),
  };
}

/** Without a trailing line end, which files that became Secrets have; undefined when there is nothing. */
export function textOf(secret: SecretData | undefined, key: string): string | undefined {
  const bytes = secret?.get(key);
  const text = bytes === undefined ? "" : Buffer.from(bytes).toString("utf8").trimEnd();
  return text === "" ? undefined : text;
}
