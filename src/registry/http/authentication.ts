// Who asks: a user of the htpasswd Secret by Basic; by Bearer the installation's admin token, or a ServiceAccount's (design: access.md).

import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";

import { LRUCache } from "lru-cache";

import { admin, anonymous, type Identity } from "../../domain/access.ts";
import { leastCost, mostPasswordBytes, parseHtpasswd, type Htpasswd } from "../../domain/htpasswd.ts";
import type { Logger } from "../../observability/logger.ts";
import { ServiceError } from "../services/errors.ts";
import { defaultBrake, LoginBrake, type BrakeOptions } from "./login-brake.ts";
import { networkOf, sourceOf } from "./login-places.ts";
import { PasswordCheck } from "./password-check.ts";

export const basicChallenge = 'Basic realm="Wharfinger", charset="UTF-8"';

export interface AuthenticationOptions {
  /** Bytes of the htpasswd file as they are now; undefined when there is none. The same object while nothing changed. */
  readonly htpasswd: () => Uint8Array | undefined;
  readonly adminToken: string;
  /** ServiceAccount tokens; without it none count. `genuine`: its bearer may hear why it does not count. */
  readonly tokens?: {
    judge(token: string): Promise<{ readonly identity: Identity } | { readonly refused: string; readonly genuine: boolean }>;
  };
  readonly logger: Logger;
  readonly brake?: BrakeOptions;
}

const checkedFor = 5 * 60_000;
/** Credentials that were right are checked again after a while, but then go before those that nobody has seen. */
const recognizedFor = 24 * 60 * 60_000;

export class Authenticator {
  readonly #options: AuthenticationOptions;
  readonly #adminToken: Buffer;
  readonly #brake: LoginBrake;
  readonly #passwords = new PasswordCheck();
  /** Keyed hashes of credentials that were right: no password is kept, and a changed hash line is another key. */
  readonly #checked = new LRUCache<string, true>({ max: 10_000, ttl: checkedFor });
  readonly #recognized = new LRUCache<string, true>({ max: 10_000, ttl: recognizedFor });
  readonly #key = randomBytes(32);
  #parsed: { readonly bytes: Uint8Array; readonly htpasswd: Htpasswd } | undefined;

  constructor(options: AuthenticationOptions) {
    this.#options = options;
    this.#adminToken = sha256(options.adminToken);
    this.#brake = new LoginBrake(options.brake ?? defaultBrake);
  }

  /** Rejects with ServiceError UNAUTHORIZED: wrong credentials are refused even where none are needed. */
  async authenticate(request: { readonly authorization: string | undefined; readonly source: string }): Promise<Identity> {
    const { authorization, source } = request;
    if (authorization === undefined) return anonymous;
    const [scheme = "", value = ""] = authorization.split(/ +/, 2);
    switch (scheme.toLowerCase()) {
      case "bearer":
        return this.#bearer(value, source);
      case "basic":
        return this.#basic(value, source);
      default:
        throw wrongCredentials();
    }
  }

  hasUsers(): boolean {
    return this.#users().users.size > 0;
  }

  async close(): Promise<void> {
    await this.#passwords.close();
  }

  async #bearer(token: string, source: string): Promise<Identity> {
    if (timingSafeEqual(sha256(token), this.#adminToken)) return admin;
    const { tokens, logger } = this.#options;
    const judged = await tokens?.judge(token);
    if (judged !== undefined && "identity" in judged) return judged.identity;
    const reason = judged?.refused;
    logger.warn({ event: "login-refused", source, scheme: "bearer", ...(reason === undefined ? {} : { reason }) }, "Login refused");
    throw judged?.genuine === true ? new ServiceError("UNAUTHORIZED", `The token does not count: ${judged.refused}.`) : wrongCredentials();
  }

  async #basic(value: string, source: string): Promise<Identity> {
    const decoded = Buffer.from(value, "base64").toString("utf8");
    const colon = decoded.indexOf(":");
    if (colon < 0) throw wrongCredentials();
    const name = decoded.slice(0, colon);
    const password = decoded.slice(colon + 1);
    // podman without a login answers a challenge with an empty name and password.
    if (name === "" && password === "") return anonymous;
    if (!(await this.#isRight(name, password, source))) {
      this.#options.logger.warn({ event: "login-refused", source, user: name.slice(0, 64) }, "Login refused");
      throw wrongCredentials();
    }
    return { kind: "user", name };
  }

  async #isRight(name: string, password: string, source: string): Promise<boolean> {
    const bytes = Buffer.byteLength(password);
    if (bytes > mostPasswordBytes) throw tooLong(bytes);
    // bcrypt repeats a password with a NUL behind it: "x\0x" would be as right as "x". RFC 7617 allows no control characters.
    if (password.includes("\0")) return false;
    const { users, costs } = this.#users();
    const hash = users.get(name);
    const key = createHmac("sha256", this.#key)
      .update(JSON.stringify([name, password, hash]))
      .digest("base64");
    if (this.#checked.has(key)) return true;
    await this.#brake.hold(source, name);
    const recognized = this.#recognized.has(key);
    const attempt = {
      source: sourceOf(source),
      network: networkOf(source),
      failing: !recognized && this.#brake.hasFailed(source),
      known: recognized || this.#brake.hasSucceeded(source),
    };
    const matches = (await this.#passwords.matches(password, hash ?? this.#nobody(name, costs), attempt)) && hash !== undefined;
    if (!matches) {
      this.#brake.failed(source, name);
      return false;
    }
    this.#brake.succeeded(source, name);
    this.#checked.set(key, true);
    this.#recognized.set(key, true);
    return true;
  }

  /**
   * What is checked for a name that does not exist, so that it takes as long as others: the cost of one of the users, always the same for the
   * same name. With the highest cost for all of them every cheaper name would be known to exist.
   */
  #nobody(name: string, costs: readonly number[]): string {
    const drawn = createHmac("sha256", this.#adminToken).update(name).digest().readUInt32BE() / 2 ** 32;
    const cost = costs[Math.floor(drawn * costs.length)] ?? leastCost;
    return `$2b$${String(cost).padStart(2, "0")}$5o.KFgq/jtfVr4dH6kyiMOCOqz7fvaDuKE57U8u46/zzpzL9Lckh.`;
  }

  #users(): Pick<Htpasswd, "users" | "costs"> {
    const bytes = this.#options.htpasswd();
    if (bytes === undefined) return none;
    if (this.#parsed?.bytes !== bytes) {
      const htpasswd = parseHtpasswd(Buffer.from(bytes).toString("utf8"));
      const { logger } = this.#options;
      for (const { line, reason } of htpasswd.problems) logger.warn({ line }, `htpasswd, line ${line}: ${reason}`);
      if (htpasswd.weak.length > 0) logger.warn({ users: htpasswd.weak }, weakHashes(htpasswd.weak));
      this.#parsed = { bytes, htpasswd };
    }
    return this.#parsed.htpasswd;
  }
}

const none: Pick<Htpasswd, "users" | "costs"> = { users: new Map(), costs: [] };

function weakHashes(names: readonly string[]): string {
  const shown = names.slice(0, 5).join(", ") + (names.length > 5 ? ` and ${names.length - 5} others` : "");
  return `htpasswd: the bcrypt hashes of ${shown} are cheap to guess against (cost below ${leastCost}); make new ones with htpasswd -nbB -C ${leastCost}`;
}

function tooLong(bytes: number): ServiceError {
  return new ServiceError(
    "UNAUTHORIZED",
    `The password has ${bytes} bytes. bcrypt looks at no more than ${mostPasswordBytes}: choose one of at most ${mostPasswordBytes} bytes.`,
  );
}

function sha256(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

function wrongCredentials(): ServiceError {
  return new ServiceError("UNAUTHORIZED", "The credentials are wrong.");
}
