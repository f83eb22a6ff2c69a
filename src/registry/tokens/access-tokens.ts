// Access tokens of this registry: JSON Web Tokens (RFC 7519, RFC 8725) that say who their bearer is and what they were asked for. They are checked
// with what is in memory; what they open is decided again at each use.

import { hash } from "node:crypto";

import { decodeProtectedHeader, errors, jwtVerify, SignJWT, type JWTPayload, type ProtectedHeaderParameters } from "jose";
import { LRUCache } from "lru-cache";

import { printable } from "../../domain/printable.ts";
import { claimsOf, contentOf, type TokenContent } from "./claims.ts";
import type { SigningKey, SigningKeys } from "./signing-key.ts";

/** `genuine`: it was signed here, so that its bearer may hear why it does not count. */
export type ReadToken = { readonly content: TokenContent } | Refused;

interface Refused {
  readonly refused: string;
  readonly genuine: boolean;
}

export interface AccessTokensOptions {
  readonly keys: SigningKeys;
  /** `iss`: this installation and no other. */
  readonly installation: string;
  /** `aud`: the host of `externalURL`. */
  readonly service: string;
  readonly now?: () => Date;
}

/** Of a token that was given out, in words of OAuth2. */
export interface IssuedToken {
  readonly token: string;
  /** Seconds. */
  readonly expiresIn: number;
  readonly issuedAt: Date;
}

/** So that no token of another kind is ever taken for one of these (RFC 8725, 3.11). */
const type = "wharfinger+jwt";
const lifetime = 5 * 60;
/** Seconds that the clocks of two processes may differ. */
const skew = 30;
const mostBytes = 15 * 1024;
/** Of tokens that were verified, characters in all. */
const remembered = 8 * 1024 * 1024;

interface Verified {
  readonly content: TokenContent;
  readonly key: SigningKey;
  /** Milliseconds since 1970. */
  readonly until: number;
}

export class AccessTokens {
  readonly #options: AccessTokensOptions;
  readonly #verified = new LRUCache<string, Verified>({ maxSize: remembered });

  constructor(options: AccessTokensOptions) {
    this.#options = options;
  }

  /** Undefined: there is nothing to sign with. `TooLong`: no header would take it. */
  async issue(content: TokenContent): Promise<IssuedToken | "TooLong" | undefined> {
    const { keys, installation, service } = this.#options;
    const key = keys.current();
    if (key === undefined) return undefined;
    const issuedAt = this.#now();
    const seconds = Math.floor(issuedAt.getTime() / 1000);
    const token = await new SignJWT({ ...claimsOf(content) })
      .setProtectedHeader({ alg: key.algorithm, typ: type, kid: key.id })
      .setIssuer(installation)
      .setAudience(service)
      .setIssuedAt(seconds)
      .setNotBefore(seconds)
      .setExpirationTime(seconds + lifetime)
      .sign(key.privateKey);
    return token.length > mostBytes ? "TooLong" : { token, expiresIn: lifetime, issuedAt };
  }

  get ready(): boolean {
    return this.#options.keys.current() !== undefined;
  }

  /** Undefined: it is no token of this kind. */
  async read(token: string): Promise<ReadToken | undefined> {
    const digest = hash("sha256", token, "base64");
    const known = this.#verified.get(digest);
    // A key that was taken away takes its tokens along.
    if (known !== undefined && this.#options.keys.known(known.key.id) === known.key) {
      return known.until > this.#now().getTime() ? { content: known.content } : { refused: expired, genuine: true };
    }
    const header = headerOf(token);
    if (header === undefined || header.typ !== type) return undefined;
    if (token.length > mostBytes) return forged(`it has more than ${mostBytes} bytes`);
    const found = await this.#verify(token, header);
    if (!("content" in found)) return found;
    this.#verified.set(digest, found, { size: token.length });
    return { content: found.content };
  }

  async #verify(token: string, header: ProtectedHeaderParameters): Promise<Verified | Refused> {
    const { keys, installation, service } = this.#options;
    const { kid, alg } = header;
    const unknown = Object.keys(header).find((name) => !["alg", "typ", "kid"].includes(name));
    // Whatever else a header may say of keys (jwk, jku, x5u), those made here do not.
    if (unknown !== undefined) return forged(`its header has ${printable(unknown, 20)}`);
    const key = typeof kid === "string" ? await keys.find(kid) : undefined;
    if (key === undefined) return forged(`nothing here is signed with its key ${printable(String(kid), 100)}`);
    if (alg !== key.algorithm) return forged(`its algorithm is ${printable(String(alg), 20)}, and that of the key ${key.algorithm}`);
    try {
      const { payload } = await jwtVerify(token, key.publicKey, {
        algorithms: [key.algorithm],
        typ: type,
        issuer: installation,
        audience: service,
        requiredClaims: ["exp", "nbf", "iat"],
        clockTolerance: skew,
        currentDate: this.#now(),
      });
      return this.#judge(payload, key);
    } catch (error) {
      if (error instanceof errors.JWTExpired) return { refused: expired, genuine: true };
      if (error instanceof errors.JWTClaimValidationFailed) return { refused: problemOf(error), genuine: true };
      return forged(`it does not verify with its key (${error instanceof errors.JOSEError ? error.code : "unknown"})`);
    }
  }

  #judge(payload: JWTPayload, key: SigningKey): Verified | Refused {
    if (payload.aud !== this.#options.service) return { refused: "it is not for this registry alone", genuine: true };
    const content = contentOf(payload);
    if (content === undefined) return { refused: "it says nothing that this version understands", genuine: true };
    return { content, key, until: ((payload.exp ?? 0) + skew) * 1000 };
  }

  #now(): Date {
    return this.#options.now?.() ?? new Date();
  }
}

const expired = "it has expired; ask for another one";

function problemOf({ claim, reason }: errors.JWTClaimValidationFailed): string {
  if (claim === "iss") return "it is of another installation";
  if (claim === "aud") return "it is for another registry";
  if (claim === "nbf") return "it is not valid yet; compare the clocks";
  return reason === "missing" ? `it does not say ${claim}` : `${claim} is not right`;
}

function headerOf(token: string): ProtectedHeaderParameters | undefined {
  try {
    return decodeProtectedHeader(token);
  } catch {
    return undefined;
  }
}

function forged(refused: string): Refused {
  return { refused, genuine: false };
}
