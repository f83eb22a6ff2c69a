// How an upstream is doing, in words for the status of its Upstream: what happened, and what to do about it. Clients are told less.

import { reasons } from "../../api/conditions.ts";
import type { UpstreamError } from "./errors.ts";

/** How the upstream did when it was last asked. */
export interface Health {
  readonly reachable: boolean | undefined;
  /** Why it is not reachable, as conditions name it. */
  readonly reason?: string;
  readonly message: string;
  /** Milliseconds since 1970. */
  readonly at: number;
}

/** Of an Upstream that was not asked since it is as it is now. */
export const notAsked: Health = { reachable: undefined, message: "not asked yet", at: 0 };

const network = "is that the right address, and does a firewall or a NetworkPolicy let the registry go there?";

/** Codes of connections that came about, and were not trusted. */
const tls: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: "its certificate has expired, which its operators have to renew",
  ERR_TLS_CERT_ALTNAME_INVALID: "its certificate is for another name: write the name into spec.url that it is for",
  ERR_SSL_WRONG_VERSION_NUMBER: "it does not speak TLS there: is the port right? (http:// needs spec.insecure)",
};
const untrusted = /^(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_(VERIFY_LEAF_SIGNATURE|GET_ISSUER_CERT(_LOCALLY)?))$/;

const connections: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nobody listens there: is the port in spec.url right?",
  ENOTFOUND: "is the name in spec.url right?",
  EAI_AGAIN: "the registry's name server does not answer",
  EHOSTUNREACH: network,
  ENETUNREACH: network,
};

export function unreachable(error: UpstreamError, at: number): Health {
  const reason = error.code === "EgressRefused" ? reasons.egressRefused : reasons.unreachable;
  const advice = adviceOn(error);
  return { reachable: false, reason, message: advice === undefined ? error.message : `${error.message}; ${advice}`, at };
}

export function loginRefused(error: UpstreamError, at: number): Health {
  const message = `${error.message}; put a login into the Secret that upstream accepts`;
  return { reachable: false, reason: reasons.authenticationFailed, message, at };
}

function adviceOn({ code, cause }: UpstreamError): string | undefined {
  if (code === "Timeout") return network;
  if (code !== "Unreachable") return undefined;
  const { code: found = "" } = (cause ?? {}) as { readonly code?: string };
  if (untrusted.test(found)) return "its certificate is of an authority that is not known here: name that in spec.certSecretRef (ca.crt)";
  return tls[found] ?? connections[found];
}
