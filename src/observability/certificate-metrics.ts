// The certificate of the listeners: when it ends, and whether the next one is in the way.

import type { Registry } from "prom-client";

import { askedGauge } from "./asked-gauge.ts";

export interface ShownCertificate {
  readonly current: { readonly expires: Date };
  /** Why what the files hold now is not used. */
  readonly problem: string | undefined;
}

/** Asked at each scrape. */
export function certificateMetrics(registry: Registry, certificate: ShownCertificate): void {
  const gauge = (name: string, help: string, value: () => number | undefined) => askedGauge(registry, { name, help, value });
  gauge(
    "wharfinger_tls_certificate_expiry_timestamp_seconds",
    "When the certificate that the listeners show ends",
    () => certificate.current.expires.getTime() / 1_000,
  );
  gauge(
    "wharfinger_tls_certificate_refused",
    "1: the files hold a certificate or key that cannot be used, so the one before is shown",
    () => (certificate.problem === undefined ? 0 : 1),
  );
}
