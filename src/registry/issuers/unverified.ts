// What a token says before anybody has verified it: good for finding the key that has to verify it, and for nothing else.

import { decodeJwt } from "jose";

/** `iss` (RFC 7519, section 4.1.1); undefined: it is no JSON Web Token, or does not say. */
export function issuerIn(token: string): string | undefined {
  try {
    return decodeJwt(token).iss;
  } catch {
    return undefined;
  }
}
