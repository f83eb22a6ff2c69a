// Whom an AccessPolicy may name: the users and robots of the installation's Secrets (design: access, "Users").

import { reasons } from "../../api/conditions.ts";
import { parseHtpasswd } from "../../domain/htpasswd.ts";
import { printable } from "../../domain/printable.ts";
import { namesOfKeys } from "../../domain/registry-login.ts";
import { parseRobots } from "../../domain/robots.ts";
import type { SecretData, SecretSource } from "../../domain/secrets.ts";
import type { CredentialsDelivery, DeliveryState } from "../ports.ts";
import type { Finding } from "../reconcilers/skeleton.ts";
import { unseenLogin, unseenUsers, type LoginSecret } from "./unseen-logins.ts";

/** Setting `access.users.secretRef`. */
export interface UsersSecret extends LoginSecret {
  /** Setting `access.robots.secretRef`. */
  readonly robots?: LoginSecret;
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
      /** Every process of the registry says that it has the users as they are now. */
      readonly delivered: boolean;
      /**
       * Why not every process of the registry has whom a name means as he is now, or nobody knows whether there is somebody; undefined: every process
       * has him, or none says what it has, or there is nobody.
       */
      readonly lackOf: (name: string) => Finding | undefined;
      /** Likewise of all together, whoever they are. */
      readonly lack: Finding | undefined;
    }
  /** The registry may have them from elsewhere. */
  | { readonly state: "unseen"; readonly message: string }
  /** Nobody can log in at all. */
  | { readonly state: "missing"; readonly reason: string; readonly message: string };

/** A Secret of logins, as it is here and on its way to the processes; both undefined: there is none, or nobody here looks at it. */
interface Held {
  readonly ref: LoginSecret;
  readonly data: SecretData | undefined;
  readonly delivery: DeliveryState | undefined;
}

/** The users as they are now; undefined where nobody is told of them. */
export function knownUsers(
  secrets: SecretSource | undefined,
  ref: UsersSecret | undefined,
  delivery?: Pick<CredentialsDelivery, "stateOf">,
): KnownUsers | undefined {
  if (secrets === undefined || ref === undefined) return undefined;
  if (ref.unseen !== undefined) return { state: "unseen", message: unseenUsers(ref) };
  const look = (one: LoginSecret): Held => {
    const { namespace, name, unseen } = one;
    if (unseen !== undefined) return { ref: one, data: undefined, delivery: undefined };
    return { ref: one, data: secrets.secret(namespace, name), delivery: delivery?.stateOf({ kind: "Secret", namespace, name }) };
  };
  const [users, robots] = [look(ref), ref.robots && look(ref.robots)];
  // An installation may have robots alone. What cannot be read is not gone.
  const others = robots?.data !== undefined || [users, robots].some((held) => held?.delivery?.state === "unread");
  if (users.data === undefined && others) return known(users, new Uint8Array(), robots);
  const secret = nameOf(ref);
  if (users.data === undefined) {
    return { state: "missing", reason: reasons.secretNotFound, message: `there is no Secret ${secret}: create it with the key htpasswd` };
  }
  const bytes = users.data.get("htpasswd");
  if (bytes === undefined) {
    const message = `Secret ${secret} has no key htpasswd (${namesOfKeys(users.data)}): add it`;
    return { state: "missing", reason: reasons.secretInvalid, message };
  }
  if (users.delivery?.state === "refused") {
    return { state: "missing", reason: users.delivery.reason, message: users.delivery.message };
  }
  return known(users, bytes, robots);
}

function known(usersHeld: Held, htpasswd: Uint8Array, robotsHeld: Held | undefined): KnownUsers {
  const users = parseHtpasswd(new TextDecoder().decode(htpasswd));
  const robots = parseRobots(robotsHeld?.data ?? new Map<string, Uint8Array>(), users.users);
  const robotsRef = robotsHeld?.ref;
  const robotsSecret = robotsRef === undefined ? "" : nameOf(robotsRef);
  const held = [usersHeld, robotsHeld].flatMap((one) => (one?.data === undefined ? [] : [nameOf(one.ref)]));
  const names = new Set([...users.users.keys(), ...robots.robots.keys()]);
  const [ofUsers, ofRobots] = [lackIn(usersHeld), lackIn(robotsHeld)];
  const unread = [usersHeld, robotsHeld].find((one) => one?.delivery?.state === "unread");
  return {
    state: "known",
    holders: held.length === 1 ? `Secret ${held.join("")} has` : `Secrets ${held.join(" and ")} have`,
    names,
    delivered: usersHeld.delivery?.state === "delivered",
    lackOf: (name) => {
      if (!names.has(name)) return lackIn(unread);
      // A robot counts only beside the users: one of these may have had its name.
      return ofUsers ?? (users.users.has(name) ? undefined : ofRobots);
    },
    // Robots that cannot be brought at all are no reason why nobody could log in.
    lack: ofUsers ?? (robotsHeld?.delivery?.state === "onItsWay" ? ofRobots : undefined),
    problems: [
      ...unusable(
        users.problems.map(({ line, reason }) => ({ place: `its line ${line}`, reason })),
        "lines",
      ),
      ...unusable(
        robots.problems.map(({ key, reason }) => ({ place: `the key ${printable(key, 64)} of ${robotsSecret}`, reason })),
        "keys",
      ),
      ...(robotsRef?.unseen === undefined ? [] : [unseenLogin("robots come", "access.robots.secretRef", robotsRef)]),
    ],
  };
}

/** Whose line or key cannot be read is missing too; lines are named by their numbers, never by what they say. */
function unusable([first, ...more]: readonly { readonly place: string; readonly reason: string }[], what: string): string[] {
  if (first === undefined) return [];
  return [`${first.place} cannot be used, because ${first.reason}${more.length === 0 ? "" : ` (and ${more.length} more ${what} like it)`}`];
}

function lackIn(held: Held | undefined): Finding | undefined {
  const { delivery } = held ?? {};
  if (delivery === undefined || delivery.state === "delivered" || delivery.state === "unsaid") return undefined;
  return { reason: delivery.reason, message: delivery.message };
}

function nameOf({ namespace, name }: LoginSecret): string {
  return `${namespace}/${name}`;
}
