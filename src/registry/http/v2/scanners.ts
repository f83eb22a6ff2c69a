// Who looks at images and runs none of them: their pulls say nothing about use (design: retention.md).

import type { Identity } from "../../../domain/identity.ts";

export interface ScannerSettings {
  readonly users: readonly string[];
  /** First products of User-Agent. */
  readonly userAgents: readonly string[];
}

export type ScannerTest = (identity: Identity, userAgent: string | undefined) => boolean;

export function scannersBy({ users, userAgents }: ScannerSettings): ScannerTest {
  const products = new Set(userAgents.map((name) => name.toLowerCase()));
  return (identity, userAgent = "") =>
    ((identity.kind === "user" || identity.kind === "robot") && users.includes(identity.name)) ||
    products.has(/^[^/\s]*/.exec(userAgent)?.[0].toLowerCase() ?? "");
}
