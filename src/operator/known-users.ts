// Whom an AccessPolicy may name: the users of the installation's Secret (design: access, "Users").

import { reasons } from "../api/conditions.ts";
import { parseHtpasswd, type Htpasswd } from "../domain/htpasswd.ts";
import { namesOfKeys } from "../domain/registry-login.ts";
import type { SecretSource } from "../domain/secrets.ts";
import type { CredentialsDelivery } from "./ports.ts";

/** Setting `access.users.secretRef`. */
export interface UsersSecret {
  readonly namespace: string;
  readonly name: string;
  /** Why nobody here looks at it, as the rest of a sentence that names it; undefined: somebody does. */
  readonly unseen?: string | undefined;
}

export type KnownUsers =
  | ({ readonly state: "known"; /** `namespace/name` */ readonly secret: string } & Htpasswd)
  /** The registry may have them from elsewhere. */
  | { readonly state: "unseen"; readonly message: string }
  /** Nobody can log in at all. */
  | { readonly state: "missing"; readonly reason: string; readonly message: string };

/** The users as they are now; undefined where nobody is told of them, or the Secret cannot be read at the moment. */
export function knownUsers(
  secrets: SecretSource | undefined,
  ref: UsersSecret | undefined,
  delivery?: Pick<CredentialsDelivery, "stateOf">,
): KnownUsers | undefined {
  if (secrets === undefined || ref === undefined) return undefined;
  const secret = `${ref.namespace}/${ref.name}`;
  if (ref.unseen !== undefined) return { state: "unseen", message: unseenUsers(ref) };
  const data = secrets.secret(ref.namespace, ref.name);
  const delivered = delivery?.stateOf({ kind: "Secret", ...ref });
  if (data === undefined) {
    // Those who could log in before still can.
    if (delivered?.state === "unread" && delivered.served) return undefined;
    if (delivered?.state === "unread") return { state: "missing", reason: delivered.reason, message: delivered.message };
    return { state: "missing", reason: reasons.secretNotFound, message: `there is no Secret ${secret}: create it with the key htpasswd` };
  }
  const bytes = data.get("htpasswd");
  if (bytes === undefined) {
    const message = `Secret ${secret} has no key htpasswd (${namesOfKeys(data)}): add it`;
    return { state: "missing", reason: reasons.secretInvalid, message };
  }
  if (delivered?.state === "refused" || (delivered?.state === "onItsWay" && !delivered.served)) {
    return { state: "missing", reason: delivered.reason, message: delivered.message };
  }
  return { state: "known", secret, ...parseHtpasswd(new TextDecoder().decode(bytes)) };
}

/** Also for the log: by default the Secret is in a namespace that few operators watch, and nobody could log in for no reason that is said. */
export function unseenUsers({ namespace, name, unseen = "" }: UsersSecret): string {
  const otherwise = "or give the registry's processes a folder of Secrets that has it (--secrets)";
  return `users come from Secret ${namespace}/${name} (setting access.users.secretRef), and ${unseen}, ${otherwise}`;
}
