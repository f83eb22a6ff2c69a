// Whether clients that come by `externalURL` take the certificate. It is said and not refused: what stands before the registry may show another one.

import { X509Certificate } from "node:crypto";

import ipaddr from "ipaddr.js";

import type { Logger } from "../../../observability/logger.ts";
import type { Certificate, KeyPair } from "./certificate.ts";

/** Now, and whenever another certificate is used. */
export function sayMissingName(
  certificate: Certificate,
  { externalURL, logger }: { externalURL: string | undefined; logger: Logger },
): void {
  if (externalURL?.startsWith("https:") !== true) return;
  const host = new URL(externalURL).hostname.replace(/^\[(.*)\]$/, "$1");
  const look = ({ cert }: Pick<KeyPair, "cert">) => {
    const leaf = new X509Certificate(cert);
    if ((ipaddr.IPv6.isValid(host) || ipaddr.IPv4.isValidFourPartDecimal(host) ? leaf.checkIP(host) : leaf.checkHost(host)) !== undefined)
      return;
    logger.warn(
      `the certificate is for ${leaf.subjectAltName ?? "no name"}, and not for ${host} of externalURL: clients that come here by that name refuse it`,
    );
  };
  look(certificate.current);
  certificate.onChange(look);
}
