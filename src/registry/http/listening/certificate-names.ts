// For which names a certificate is. That it is not for the one in `externalURL` is said and not refused: what stands before the registry may show
// another certificate.

import { X509Certificate } from "node:crypto";

import type { Logger } from "../../../observability/logger.ts";
import { isIpAddress } from "../ip-address.ts";
import type { Certificate, KeyPair } from "./certificate.ts";

/** `name`: as a certificate has it, an IPv6 address without brackets. */
export function isCertificateFor(certificate: X509Certificate, name: string): boolean {
  return (isIpAddress(name) ? certificate.checkIP(name) : certificate.checkHost(name)) !== undefined;
}

/** Now, and whenever another certificate is used. */
export function sayMissingName(
  certificate: Certificate,
  { externalURL, logger }: { externalURL: string | undefined; logger: Logger },
): void {
  if (externalURL?.startsWith("https:") !== true) return;
  const host = new URL(externalURL).hostname.replace(/^\[(.*)\]$/, "$1");
  const look = ({ cert }: Pick<KeyPair, "cert">) => {
    const leaf = new X509Certificate(cert);
    if (isCertificateFor(leaf, host)) return;
    logger.warn(
      `the certificate is for ${leaf.subjectAltName ?? "no name"}, and not for ${host} of externalURL: clients that come here by that name refuse it`,
    );
  };
  look(certificate.current);
  certificate.onChange(look);
}
