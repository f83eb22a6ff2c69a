// Who asks: by Basic a user, a robot or (any name, its token as the password) a ServiceAccount; by Bearer the installation's admin token, a
// ServiceAccount's, or one of our own access tokens (design: access.md).

import { createHash, timingSafeEqual } from "node:crypto";

import { LRUCache } from "lru-cache";

import { admin, anonymous, type Identity } from "../../../domain/identity.ts";
import { mostArgon2Bytes, mostBcryptBytes } from "../../../domain/password-hash.ts";
import { isRobotPassword } from "../../../domain/robots.ts";
import type { Granted } from "../../../domain/scope.ts";
import { ServiceError } from "../../services/errors.ts";
import { BearerRefused } from "./bearer-refused.ts";
import { isExpired, KnownLogins, type KnownLoginsOptions } from "./known-logins.ts";
import { defaultBrake, LoginBrake, type BrakeOptions } from "./login-brake.ts";
import type { LoginAttempt, PlaceLimits } from "./login-places.ts";
import { LoginQueue, loginPlaces } from "./login-queue.ts";
import { PasswordCheck } from "./password-check.ts";

type Refused = { readonly refused: string; readonly genuine: boolean };

/** Whom credentials showed. */
export interface Shown {
  readonly identity: Identity;
  /** What an access token opens; undefined: they were credentials themselves. */
  readonly granted?: Granted;
  /** Of a user or robot: what it logged in with, as a hash that says nothing of it. */
  readonly credential?: string;
}

export interface Login {
  readonly name: string;
  readonly password: string;
  readonly source: string;
}

export interface AuthenticationOptions extends Omit<KnownLoginsOptions, "secret"> {
  /** Undefined: there is none, and who administers is named by the settings. */
  readonly adminToken?: string | undefined;
  /** ServiceAccount tokens; without it none count. `genuine`: its bearer may hear why it does not count. */
  readonly tokens?: {
    judge(token: string): Promise<{ readonly identity: Identity } | Refused>;
  };
  /** Our own; undefined: it is no token of that kind. */
  readonly accessTokens?: { read(token: string): Promise<{ readonly content: Shown } | Refused | undefined> };
  readonly brake?: BrakeOptions;
  readonly places?: PlaceLimits;
}

const checkedFor = 5 * 60_000;
/** Credentials that were right are checked again after a while, but then go before those that nobody has seen. */
const recognizedFor = 24 * 60 * 60_000;
/** The three parts of a JSON Web Token: of a password it is one when it looks like one. */
const tokenPattern = /^eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}$/;

export class Authenticator {
  readonly #options: AuthenticationOptions;
  readonly #adminToken: Buffer | undefined;
  readonly #brake: LoginBrake;
  readonly #queue: LoginQueue;
  readonly #passwords = new PasswordCheck();
  readonly #logins: KnownLogins;
  /** Keyed hashes of credentials that were right: no password is kept. */
  readonly #checked = new LRUCache<string, true>({ max: 10_000, ttl: checkedFor });
  readonly #recognized = new LRUCache<string, true>({ max: 10_000, ttl: recognizedFor });
  /** Which credentials have a place to be checked in, of sources that never failed. */
  readonly #checking = new Set<string>();

  constructor(options: AuthenticationOptions) {
    this.#options = options;
    const { adminToken } = options;
    this.#adminToken = adminToken === undefined ? undefined : sha256(adminToken);
    this.#brake = new LoginBrake(options.brake ?? defaultBrake);
    this.#queue = new LoginQueue(options.places ?? loginPlaces);
    this.#logins = new KnownLogins({ ...options, secret: options.adminToken });
  }

  /** Rejects with ServiceError UNAUTHORIZED: wrong credentials are refused even where none are needed. */
  async authenticate(request: { readonly authorization: string | undefined; readonly source: string }): Promise<Shown> {
    const { authorization, source } = request;
    if (authorization === undefined) return { identity: anonymous };
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
    return this.#logins.any();
  }

  async close(): Promise<void> {
    await this.#passwords.close();
  }

  async #bearer(token: string, source: string): Promise<Shown> {
    if (this.#adminToken !== undefined && timingSafeEqual(sha256(token), this.#adminToken)) return { identity: admin };
    const { tokens, accessTokens } = this.#options;
    const own = await accessTokens?.read(token);
    const judged = own === undefined ? await tokens?.judge(token) : this.#stillCounts(own);
    if (judged === undefined || "refused" in judged) throw this.#refuse({ source, scheme: "bearer" }, judged);
    return "content" in judged ? judged.content : judged;
  }

  /** A password that was changed or taken away, and a robot that has expired, take their tokens along. */
  #stillCounts(read: { readonly content: Shown } | Refused): { readonly content: Shown } | Refused {
    if ("refused" in read) return read;
    const { identity, credential } = read.content;
    if (identity.kind !== "user" && identity.kind !== "robot") return read;
    if (credential !== undefined && credential === this.#logins.credentialOf(identity)) return read;
    return { refused: `${identity.name} logs in with something else by now, or not at all`, genuine: true };
  }

  async #basic(value: string, source: string): Promise<Shown> {
    const decoded = Buffer.from(value, "base64").toString("utf8");
    const colon = decoded.indexOf(":");
    if (colon < 0) throw wrongCredentials();
    return this.login({ name: decoded.slice(0, colon), password: decoded.slice(colon + 1), source });
  }

  /** Rejects like `authenticate`. */
  async login({ name, password, source }: Login): Promise<Shown> {
    // podman without a login answers a challenge with an empty name and password.
    if (name === "" && password === "") return { identity: anonymous };
    if (tokenPattern.test(password)) return { identity: await this.#account(name, password, source) };
    const robot = this.#isRobot(name, password, source);
    const identity = { kind: robot ? "robot" : "user", name } as const;
    // Of what is checked: a password that changes meanwhile gets a token that is closed already.
    const credential = this.#logins.credentialOf(identity);
    if (!robot && !(await this.#isRight(name, password, source))) throw this.#refuse({ source, user: shownName(name) });
    return { identity, ...(credential === undefined ? {} : { credential }) };
  }

  /**
   * `docker login` and the kubelet have no other place for a token than the password's; the name says nothing. Nobody guesses tokens, so whoever
   * has a right one waits for nobody, and one that was right once is no guess.
   */
  async #account(name: string, token: string, source: string): Promise<Identity> {
    const judged = await this.#options.tokens?.judge(token);
    if (judged !== undefined && "identity" in judged) return judged.identity;
    if (judged?.genuine !== true) {
      const guess = `token ${sha256(token).toString("base64")}`;
      const pause = this.#brake.pauseOf(source, guess);
      if (pause > 0) await this.#queue.wait(this.#brake.attemptOf(source, { recognized: false }), pause, async () => {});
      this.#brake.failed(source, guess);
    }
    throw this.#refuse({ source, user: shownName(name) }, judged);
  }

  /** One line in the log, and what its sender may hear. */
  #refuse(who: Readonly<Record<string, string>>, judged?: Refused): ServiceError {
    const reason = judged === undefined ? {} : { reason: judged.refused };
    this.#options.logger.warn({ event: "login-refused", ...who, ...reason }, "Login refused");
    const message = judged?.genuine === true ? `The token does not count: ${judged.refused}.` : wrong;
    return who["scheme"] === "bearer" ? new BearerRefused("invalid_token", message) : new ServiceError("UNAUTHORIZED", message);
  }

  async #isRight(name: string, password: string, source: string): Promise<boolean> {
    const hash = this.#logins.hashOf(name);
    const checked = hash ?? this.#logins.decoyFor(name);
    refuseLength(password, checked);
    // bcrypt repeats a password with a NUL behind it: "x\0x" would be as right as "x". RFC 7617 allows no control characters.
    if (password.includes("\0")) return false;
    const key = this.#logins.keyFor(name, password);
    if (this.#checked.has(key)) return true;
    const recognized = this.#recognized.has(key);
    const attempt = this.#brake.attemptOf(source, { recognized });
    const check = () => this.#passwords.matches(password, checked, attempt, key);
    // What was right with this hash is no guess, whatever others try with its name.
    const pause = recognized ? 0 : this.#brake.pauseOf(source, name);
    const matches = (await this.#once(key, { attempt, pause }, check)) && hash !== undefined;
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
   * A hundred nodes with one pull secret, a rollout, ask the same at once: one check answers them all, so they need no more than the place of one, and none
   * is refused for want of it. Guesses have their pauses and places each.
   */
  async #once(
    key: string,
    { attempt, pause }: { readonly attempt: LoginAttempt; readonly pause: number },
    check: () => Promise<boolean>,
  ): Promise<boolean> {
    if (attempt.failing || pause > 0) return this.#queue.wait(attempt, pause, check);
    if (this.#checking.has(key)) return check();
    this.#checking.add(key);
    try {
      return await this.#queue.wait(attempt, pause, check);
    } finally {
      this.#checking.delete(key);
    }
  }

  /**
   * Without the brake: 32 bytes by chance are not guessed, and whoever has them does not wait for those who try. What is wrong goes the way of
   * every wrong password, so that nobody learns by the time it takes which names are robots'.
   */
  #isRobot(name: string, password: string, source: string): boolean {
    const robot = this.#logins.robot(name);
    if (robot === undefined || !isRobotPassword(password)) return false;
    if (!timingSafeEqual(sha256(password), Buffer.from(robot.sha256, "hex"))) return false;
    if (isExpired(robot)) {
      const reason = `the robot has expired at ${new Date(robot.expires ?? 0).toISOString()}; make it a new password`;
      throw this.#refuse({ source, user: name }, { refused: reason, genuine: false });
    }
    this.#brake.succeeded(source, name);
    return true;
  }
}

/** Throws ServiceError UNAUTHORIZED. */
function refuseLength(password: string, hash: string): void {
  const bytes = Buffer.byteLength(password);
  const ofBcrypt = !hash.startsWith("$argon2");
  const most = ofBcrypt ? mostBcryptBytes : mostArgon2Bytes;
  if (bytes <= most) return;
  const why = ofBcrypt ? `bcrypt looks at no more than ${most}` : `No more than ${most} are taken`;
  throw new ServiceError("UNAUTHORIZED", `The password has ${bytes} bytes. ${why}: choose one of at most ${most} bytes.`);
}

function sha256(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

/** For the log: who takes his password for a name finds it there in no log. */
function shownName(name: string): string {
  return tokenPattern.test(name) || name.includes("wfr_") ? "(a password)" : name.slice(0, 64);
}

const wrong = "The credentials are wrong.";

function wrongCredentials(): ServiceError {
  return new ServiceError("UNAUTHORIZED", wrong);
}
