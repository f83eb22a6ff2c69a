// The names that can log in with a password, from the Secrets of users and robots as they are now.

import { createHash, createHmac, randomBytes } from "node:crypto";

import { parseHtpasswd, type Htpasswd } from "../../../domain/htpasswd.ts";
import type { Identity } from "../../../domain/identity.ts";
import { usualDecoy } from "../../../domain/password-hash.ts";
import { parseRobots, type Robot, type Robots } from "../../../domain/robots.ts";
import type { SecretData } from "../../../domain/secrets.ts";
import type { Logger } from "../../../observability/logger.ts";

export interface KnownLoginsOptions {
  /** Bytes of the htpasswd file as they are now; undefined when there is none. The same object while nothing changed. */
  readonly htpasswd: () => Uint8Array | undefined;
  /** The robots' Secret, likewise. */
  readonly robots?: () => SecretData | undefined;
  /** Of the installation (undefined: the users' hashes are the one it has): which decoy a name gets is the same in all its processes, and nobody else can know it. */
  readonly secret: string | undefined;
  readonly logger: Logger;
}

interface Parsed {
  readonly bytes: Uint8Array | undefined;
  readonly data: SecretData | undefined;
  readonly htpasswd: Htpasswd;
  readonly robots: Robots;
}

/** Who logs in with a name and a password. */
export type NamedIdentity = Extract<Identity, { readonly name: string; readonly kind: "user" | "robot" }>;

export class KnownLogins {
  readonly #options: KnownLoginsOptions;
  readonly #key = randomBytes(32);
  #parsed: Parsed | undefined;

  constructor(options: KnownLoginsOptions) {
    this.#options = options;
  }

  any(): boolean {
    const { htpasswd, robots } = this.#read();
    return htpasswd.users.size > 0 || robots.robots.size > 0;
  }

  /** The hash of a user's password. */
  hashOf(name: string): string | undefined {
    return this.#read().htpasswd.users.get(name);
  }

  robot(name: string): Robot | undefined {
    return this.#read().robots.robots.get(name);
  }

  /** What somebody logs in with, as a hash that says nothing of it: another one as soon as that is; undefined: nobody can log in as this. */
  credentialOf({ kind, name }: NamedIdentity): string | undefined {
    const robot = kind === "robot" ? this.robot(name) : undefined;
    const held = kind === "user" ? this.hashOf(name) : robot === undefined || isExpired(robot) ? undefined : robot.sha256;
    return held === undefined ? undefined : createHash("sha256").update(`${name}\n${held}`).digest("base64url").slice(0, 22);
  }

  /**
   * What is checked for a name that does not exist, so that it takes as long as others: the hash of one of the users as far as its cost goes,
   * always the same for the same name. With the highest cost for all of them every cheaper name would be known to exist.
   */
  decoyFor(name: string): string {
    const { bytes, htpasswd } = this.#read();
    const { decoys } = htpasswd;
    const drawn =
      createHmac("sha256", this.#options.secret ?? bytes ?? "")
        .update(name)
        .digest()
        .readUInt32BE() /
      2 ** 32;
    return decoys[Math.floor(drawn * decoys.length)] ?? usualDecoy;
  }

  /** A key for what was right, without the password: a changed hash is another key. */
  keyFor(name: string, password: string): string {
    return createHmac("sha256", this.#key)
      .update(JSON.stringify([name, password, this.hashOf(name)]))
      .digest("base64");
  }

  #read(): Parsed {
    const { htpasswd, robots, logger } = this.#options;
    const [bytes, data] = [htpasswd(), robots?.()];
    const before = this.#parsed;
    if (before !== undefined && before.bytes === bytes && before.data === data) return before;
    const users =
      before?.bytes === bytes && before !== undefined ? before.htpasswd : parseHtpasswd(Buffer.from(bytes ?? []).toString("utf8"));
    const found = { bytes, data, htpasswd: users, robots: parseRobots(data ?? new Map<string, Uint8Array>(), users.users) };
    if (users !== before?.htpasswd) tellOfUsers(users, logger);
    for (const { key, reason } of found.robots.problems)
      logger.warn({ robot: key.slice(0, 64) }, `robots, key ${key.slice(0, 64)}: ${reason}`);
    this.#parsed = found;
    return found;
  }
}

export function isExpired({ expires }: Robot, now = Date.now()): boolean {
  return expires !== undefined && expires <= now;
}

function tellOfUsers({ problems, weak }: Htpasswd, logger: Logger): void {
  for (const { line, reason } of problems) logger.warn({ line }, `htpasswd, line ${line}: ${reason}`);
  for (const [advice, users] of Map.groupBy(weak, ({ advice }) => advice)) {
    const names = users.map(({ name }) => name);
    const shown = names.slice(0, 5).join(", ") + (names.length > 5 ? ` and ${names.length - 5} others` : "");
    logger.warn({ users: names }, `htpasswd: the hashes of ${shown} are cheap to guess against; make new ones with ${advice}`);
  }
}
