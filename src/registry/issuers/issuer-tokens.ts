// Tokens of configured issuers, checked offline: a JWT (RFC 7519, RFC 8725) that the API server of a cluster, or a CI system, signed for this
// registry (design: access.md). The price: the token of a Pod that was deleted lives until it expires.

import { decodeProtectedHeader, errors, jwtVerify, type JWTPayload } from "jose";

import { printable } from "../../domain/printable.ts";
import { bearerOf, type IssuedIdentity } from "./bearers.ts";
import type { FoundKey } from "./key-ring.ts";
import { issuerIn } from "./unverified.ts";

/** `genuine`: a configured issuer signed it, so that its bearer may hear why it does not count. */
export type Judged = { readonly identity: IssuedIdentity } | { readonly refused: string; readonly genuine: boolean };

export interface TokenOptions {
  /** `issuer`: what the token says that nobody has verified yet. */
  readonly keys: { find(id: string, issuer: string | undefined): Promise<FoundKey | undefined> };
  /** The one thing that a token is for: the host of `externalURL`. */
  readonly audience: string;
  readonly now?: () => Date;
}

/** Seconds that clocks may differ. */
const skew = 30;
/** Seconds between `iat` and `exp`. Kubernetes gives out a year to who asks for nothing: such tokens are for its API server. */
const longestLife = 24 * 3_600;
const maxLength = 16 * 1024;
const notYet = "it is not valid yet; compare the clocks";

export class IssuerTokens {
  readonly #options: TokenOptions;

  constructor(options: TokenOptions) {
    this.#options = options;
  }

  async judge(token: string): Promise<Judged> {
    const header = headerOf(token);
    if (header === undefined) return forged("it is no JSON Web Token with the id of a key");
    // Whatever else the header says of keys (jwk, jku, x5u) counts for nothing.
    const found = await this.#options.keys.find(header.kid, issuerIn(token));
    if (found === undefined) return forged(`no issuer of auth.issuers has its key ${printable(header.kid, 100)}`);
    const { issuer, key } = found;
    if (header.alg !== key.algorithm) return forged(`its algorithm is ${printable(header.alg, 20)}, and that of the key ${key.algorithm}`);
    const currentDate = this.#options.now?.() ?? new Date();
    try {
      const { payload } = await jwtVerify(token, key.key, {
        algorithms: [key.algorithm],
        issuer: issuer.issuer,
        requiredClaims: ["exp", "iat", "sub", "aud"],
        clockTolerance: skew,
        currentDate,
      });
      if ((payload.iat ?? 0) > currentDate.getTime() / 1000 + skew) return refused(notYet);
      return this.#identify(issuer, payload);
    } catch (error) {
      if (error instanceof errors.JWTExpired) return refused("it has expired");
      if (error instanceof errors.JWTClaimValidationFailed) return refused(claimProblem(error, issuer.issuer));
      return forged(`it does not verify with its key (${error instanceof errors.JOSEError ? error.code : "unknown"})`);
    }
  }

  #identify(issuer: FoundKey["issuer"], payload: JWTPayload): Judged {
    const { audience } = this.#options;
    const { aud, exp = Infinity, iat = 0 } = payload;
    const audiences = [aud ?? []].flat();
    // One that others are shown too could be taken there and used here.
    if (audiences.length !== 1 || audiences[0] !== audience) {
      return refused(`it is for the audience ${printable(audiences.join(", "), 200)}; ask for one that is for ${audience} alone`);
    }
    if (exp - iat > longestLife) return refused("it lives longer than 24 hours; ask for one that expires sooner");
    const bearer = bearerOf(issuer, payload);
    return "problem" in bearer ? refused(bearer.problem) : { identity: bearer };
  }
}

function headerOf(token: string): { readonly kid: string; readonly alg: string } | undefined {
  if (token.length > maxLength) return undefined;
  try {
    const { kid, alg } = decodeProtectedHeader(token);
    return typeof kid === "string" && typeof alg === "string" ? { kid, alg } : undefined;
  } catch {
    return undefined;
  }
}

function claimProblem({ claim, reason }: errors.JWTClaimValidationFailed, issuer: string): string {
  if (claim === "iss") return `its issuer is another one than ${issuer}`;
  if (claim === "nbf") return notYet;
  return reason === "missing" ? `it does not say ${claim}` : `${claim} is not right`;
}

function forged(reason: string): Judged {
  return { refused: reason, genuine: false };
}

function refused(reason: string): Judged {
  return { refused: reason, genuine: true };
}
