// From an Upstream as published, and the Secrets it names, to what the way out needs.

import type { UpstreamSpec } from "../../../api/kinds.ts";
import { milliseconds } from "../../../domain/duration.ts";
import { targetUrl } from "../../../domain/registry-address.ts";
import type { SecretSource } from "../../../domain/secrets.ts";
import { readTlsSecret } from "../../../domain/tls-secret.ts";
import { readCredentials } from "../../upstream/credentials.ts";
import { Hidden } from "../../upstream/hidden.ts";
import type { Credentials, UpstreamTarget } from "../../upstream/target.ts";
import type { Published } from "../configuration/configuration.ts";

export function targetOf(upstream: Published<UpstreamSpec>, secrets: SecretSource): UpstreamTarget {
  const { spec, namespace, name } = upstream;
  const url = targetUrl(spec.url);
  const tls = readTls(upstream, secrets);
  return {
    key: `${namespace}/${name}`,
    url,
    insecure: spec.insecure,
    allowedHosts: spec.allowedHosts,
    credentials: tls.problem === undefined ? credentialsOf(upstream, secrets, url) : { state: "invalid", message: tls.problem },
    tls: tls.material,
    timeouts: {
      connect: milliseconds(spec.timeouts.connect),
      firstByte: milliseconds(spec.timeouts.firstByte),
      idle: milliseconds(spec.timeouts.idle),
    },
    rateLimit: {
      reservePercent: spec.rateLimit.reservePercent,
      ...(spec.rateLimit.requestsPerSecond === undefined ? {} : { requestsPerSecond: spec.rateLimit.requestsPerSecond }),
    },
  };
}

function credentialsOf({ spec, namespace }: Published<UpstreamSpec>, secrets: SecretSource, url: URL): Credentials {
  const { provider, secretRef } = spec.auth;
  if (provider !== "generic") {
    return { state: "notImplemented", message: `spec.auth.provider ${provider} is not built yet; use generic with a secretRef` };
  }
  if (secretRef === undefined) return { state: "anonymous" };
  return readCredentials(secrets.secret(namespace, secretRef.name), `${namespace}/${secretRef.name}`, url);
}

function readTls(
  { spec, namespace }: Published<UpstreamSpec>,
  secrets: SecretSource,
): { readonly material: UpstreamTarget["tls"]; readonly problem?: string } {
  if (spec.certSecretRef === undefined) return { material: {} };
  const name = `${namespace}/${spec.certSecretRef.name}`;
  const data = secrets.secret(namespace, spec.certSecretRef.name);
  if (data === undefined) return { material: {}, problem: `Secret ${name} does not exist` };
  const read = readTlsSecret(data, name);
  if ("problem" in read) return { material: {}, problem: read.problem };
  const { key, ...open } = read;
  return { material: { ...open, ...(key === undefined ? {} : { key: new Hidden(key) }) } };
}
