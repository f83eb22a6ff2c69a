// Whom an AccessPolicy may name: the users and robots of the installation's Secrets (design: access, "Users").

import { reasons } from "../api/conditions.ts";
import { parseHtpasswd } from "../domain/htpasswd.ts";
import { printable } from "../domain/printable.ts";
import { namesOfKeys } from "../domain/registry-login.ts";
import { parseRobots } from "../domain/robots.ts";
import type { SecretData, SecretSource } from "../domain/secrets.ts";
import type { CredentialsDelivery } from "./ports.ts";

/** A Secret of a setting. */
interface NamedSecret {
  readonly namespace: string;
  readonly name: string;
  /** Why nobody here looks at it, as the rest of a sentence that names it; undefined: somebody does. */
  readonly unseen?: string | undefined;
}

/** Setting `access.users.secretRef`. */
export interface UsersSecret extends NamedSecret {
  /** Setting `access.robots.secretRef`. */
  readonly robots?: NamedSecret;
}

export type KnownUsers =
  | {
      readonly state: "known";
      /** Who has them, as the beginning of a sentence: `Secret default/wharfinger-users has`. */
      readonly holders: string;
      /** Users and robots. */
      readonly names: ReadonlySet<string>;
      /** Why a name may not be among them, each as the rest of a sentence. */
      readonly problems: readonly string[];
    }
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
  const { robots: robotsRef } = ref;
  const robotsData = robotsRef && secrets.secret(robotsRef.namespace, robotsRef.name);
  // An installation may have robots alone.
  if (data === undefined && robotsRef !== undefined && robotsData !== undefined) return known([], robotsRef, robotsData);
  const delivered = delivery?.stateOf({ kind: "Secret", ...ref });
  if (data === undefined) {
    // Those who could log in before still can.
    if (delivered?.state === "unread" && delivered.served !== false) return undefined;
    if (delivered?.state === "unread") return { state: "missing", reason: delivered.reason, message: delivered.message };
    return { state: "missing", reason: reasons.secretNotFound, message: `there is no Secret ${secret}: create it with the key htpasswd` };
  }
  const bytes = data.get("htpasswd");
  if (bytes === undefined) {
    const message = `Secret ${secret} has no key htpasswd (${namesOfKeys(data)}): add it`;
    return { state: "missing", reason: reasons.secretInvalid, message };
  }
  if (delivered?.state === "refused" || (delivered?.state === "onItsWay" && delivered.served === false)) {
    return { state: "missing", reason: delivered.reason, message: delivered.message };
  }
  return known([secret, bytes], robotsRef, robotsData);
}

function known(
  [secret, htpasswd]: readonly [string, Uint8Array] | readonly [],
  robotsRef: NamedSecret | undefined,
  data: SecretData | undefined,
): KnownUsers {
  const users = parseHtpasswd(new TextDecoder().decode(htpasswd));
  const robots = parseRobots(data ?? new Map<string, Uint8Array>(), users.users);
  const robotsSecret = robotsRef === undefined ? "" : `${robotsRef.namespace}/${robotsRef.name}`;
  const held = [...(secret === undefined ? [] : [secret]), ...(data === undefined ? [] : [robotsSecret])];
  return {
    state: "known",
    holders: held.length === 1 ? `Secret ${held.join("")} has` : `Secrets ${held.join(" and ")} have`,
    names: new Set([...users.users.keys(), ...robots.robots.keys()]),
    problems: [
      ...unusable(
        users.problems.map(({ line, reason }) => ({ place: `its line ${line}`, reason })),
        "lines",
      ),
      ...unusable(
        robots.problems.map(({ key, reason }) => ({ place: `the key ${printable(key, 64)} of ${robotsSecret}`, reason })),
        "keys",
      ),
      ...(robotsRef?.unseen === undefined
        ? []
        : [`robots come from Secret ${robotsSecret} (setting access.robots.secretRef), and ${robotsRef.unseen}`]),
    ],
  };
}

/** Whose line or key cannot be read is missing too; lines are named by their numbers, never by what they say. */
function unusable([first, ...more]: readonly { readonly place: string; readonly reason: string }[], what: string): string[] {
  if (first === undefined) return [];
  return [`${first.place} cannot be used, because ${first.reason}${more.length === 0 ? "" : ` (and ${more.length} more ${what} like it)`}`];
}

/** Also for the log: by default the Secret is in a namespace that few operators watch, and nobody could log in for no reason that is said. */
export function unseenUsers({ namespace, name, unseen = "" }: UsersSecret): string {
  const otherwise = "or give the registry's processes a folder of Secrets that has it (--secrets)";
  return `users come from Secret ${namespace}/${name} (setting access.users.secretRef), and ${unseen}, ${otherwise}`;
}
