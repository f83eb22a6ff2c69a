// `ca.crt`, `tls.crt` and `tls.key` of a Secret: who is believed, and who we say that we are.

import { createPrivateKey, X509Certificate, type KeyObject } from "node:crypto";

import { namesOfKeys } from "./registry-login.ts";
import type { SecretData } from "./secrets.ts";

/** PEM. Certificate and key come together. */
export interface TlsMaterial {
  readonly authority?: string;
  readonly certificate?: string;
  readonly key?: string;
}

/** Keys of a Secret that are used. */
export const tlsKeys: readonly string[] = ["ca.crt", "tls.crt", "tls.key"];

/** Nothing but whom to believe: who comes with it is nobody in particular. */
export function isAuthorityAlone(data: SecretData): boolean {
  return data.has("ca.crt") && !data.has("tls.crt") && !data.has("tls.key");
}

const pem = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

/** `name`: of the Secret, for messages; nothing of its content is ever put into one. */
export function readTlsSecret(data: SecretData, name: string): TlsMaterial | { readonly problem: string } {
  const text = (key: string) => (data.has(key) ? new TextDecoder().decode(data.get(key)) : undefined);
  const [authority, certificate, key] = [text("ca.crt"), text("tls.crt"), text("tls.key")];
  const wrong = (what: string) => ({ problem: `Secret ${name} ${what}` });
  if (authority === undefined && certificate === undefined && key === undefined) {
    return wrong(`needs ca.crt, or tls.crt and tls.key (${namesOfKeys(data)})`);
  }
  if (certificate === undefined && key !== undefined) return wrong("needs tls.crt beside its tls.key");
  if (certificate !== undefined && key === undefined) return wrong("needs tls.key beside its tls.crt");
  const [unreadable] = [
    ...(authority === undefined ? [] : certificateProblems("ca.crt", authority)),
    ...(certificate === undefined ? [] : certificateProblems("tls.crt", certificate)),
  ];
  if (unreadable !== undefined) return wrong(unreadable);
  if (certificate === undefined || key === undefined) return authority === undefined ? {} : { authority };
  const secretKey = privateKey(key);
  if (secretKey === undefined) return wrong("has a tls.key that cannot be read: a private key in PEM without a passphrase is needed");
  if (!leafOf(certificate).checkPrivateKey(secretKey))
    return wrong("has a tls.key that does not belong to the first certificate of its tls.crt");
  return { ...(authority === undefined ? {} : { authority }), certificate, key };
}

function certificateProblems(key: string, text: string): string[] {
  const found = text.match(pem) ?? [];
  if (found.length === 0) return [`has no certificate in ${key} ("-----BEGIN CERTIFICATE-----")`];
  const bad = found.findIndex((certificate) => !readable(certificate));
  return bad < 0 ? [] : [`has a ${key} whose ${found.length === 1 ? "certificate" : `certificate ${bad + 1}`} cannot be read`];
}

function readable(certificate: string): boolean {
  try {
    return new X509Certificate(certificate).subject !== null;
  } catch {
    return false;
  }
}

function leafOf(certificates: string): X509Certificate {
  return new X509Certificate(certificates.match(pem)?.[0] ?? "");
}

function privateKey(text: string): KeyObject | undefined {
  try {
    return createPrivateKey(text);
  } catch {
    return undefined;
  }
}
