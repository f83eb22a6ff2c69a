// The rights that the published configuration gives, compiled again whenever another one is published.

import { compileAccess, type Access } from "../../../domain/access.ts";
import { prefixOf } from "../../../domain/reference.ts";
import type { SecretSource } from "../../../domain/secrets.ts";
import { isAuthorityAlone } from "../../../domain/tls-secret.ts";
import type { Configuration, ConfigurationSource } from "../../services/configuration/configuration.ts";

export interface PublishedAccessOptions {
  readonly configuration: ConfigurationSource;
  /** Of Upstreams. */
  readonly secrets: Pick<SecretSource, "secret">;
  readonly anonymousPull: "None" | "PublicUpstreams" | "All";
  /** A loopback listener or `--allow-anonymous`: open until the first AccessPolicy ever. */
  readonly openUntilFirstPolicy: boolean;
  /** Grants of namespaces that are not the administrators': their policies select nothing outside. */
  readonly tenants: readonly { readonly namespace: string; readonly repositories: readonly string[] }[];
}

export class PublishedAccess {
  readonly #options: PublishedAccessOptions;
  #compiled: { readonly configuration: Configuration; readonly access: Access } | undefined;

  constructor(options: PublishedAccessOptions) {
    this.#options = options;
  }

  current(): Access {
    const configuration = this.#options.configuration.current();
    if (this.#compiled?.configuration !== configuration) this.#compiled = { configuration, access: this.#compile(configuration) };
    return this.#compiled.access;
  }

  #compile(configuration: Configuration): Access {
    const { secrets, anonymousPull, openUntilFirstPolicy } = this.#options;
    return compileAccess({
      rules: configuration.accessPolicies.map(({ namespace, spec }) => {
        const within = this.#grantOf(namespace);
        return { ...spec, ...(within === undefined ? {} : { within }) };
      }),
      everHadPolicy: configuration.everHadAccessPolicy,
      openUntilFirstPolicy,
      anonymousPull,
      isPublicUpstream: (repository) => isPublic(configuration, secrets, prefixOf(repository)),
    });
  }

  /** Undefined for a namespace without grants of its own: the operator has judged whether it counts at all. */
  #grantOf(namespace: string): readonly string[] | undefined {
    const grants = this.#options.tenants.filter((tenant) => tenant.namespace === namespace);
    return grants.length === 0 ? undefined : grants.flatMap(({ repositories }) => repositories);
  }
}

/** Asked without credentials of ours: what it serves, anybody could get there. What a Secret that is not here holds may be one. */
function isPublic(configuration: Configuration, secrets: Pick<SecretSource, "secret">, prefix: string): boolean {
  const upstream = configuration.upstreamByPrefix(prefix);
  if (upstream === undefined) return false;
  const { auth, certSecretRef } = upstream.spec;
  if (auth.provider !== "generic" || auth.secretRef !== undefined) return false;
  if (certSecretRef === undefined) return true;
  const data = secrets.secret(upstream.namespace, certSecretRef.name);
  return data !== undefined && isAuthorityAlone(data);
}
