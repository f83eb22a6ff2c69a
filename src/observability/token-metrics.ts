// Access tokens: who gets them, and why they are refused.

import { Counter, type Registry } from "prom-client";

export interface TokenMetrics {
  /** `identity`: the kind of one. */
  tokenGranted(identity: string): void;
  /** One of few words. */
  tokenRefused(reason: string): void;
}

export function tokenMetrics(registry: Registry): TokenMetrics {
  const registers = [registry];
  const granted = new Counter({
    name: "wharfinger_tokens_granted_total",
    help: "Access tokens given out, by the kind of identity",
    labelNames: ["identity"],
    registers,
  });
  const refused = new Counter({
    name: "wharfinger_tokens_refused_total",
    help: "Requests for access tokens that were refused, and tokens that were refused where they were shown (invalid_token, insufficient_scope)",
    labelNames: ["reason"],
    registers,
  });
  return {
    tokenGranted: (identity) => granted.inc({ identity }),
    tokenRefused: (reason) => refused.inc({ reason }),
  };
}
