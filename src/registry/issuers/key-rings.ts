// Whose key a token has. Clusters are told apart by the key alone, since many call themselves the same; an OpenID provider has its URL for itself,
// so that nobody else's key ids and no flood of made-up ones reach beyond it.

import type { Logger } from "../../observability/logger.ts";
import { KeyRing, type FoundKey, type Issuer } from "./key-ring.ts";

export class KeyRings {
  readonly #clusters: KeyRing;
  /** By `iss`. */
  readonly #providers: ReadonlyMap<string, KeyRing>;

  private constructor(clusters: KeyRing, providers: ReadonlyMap<string, KeyRing>) {
    this.#clusters = clusters;
    this.#providers = providers;
  }

  /** Rejects with an Error that says which setting is wrong. An issuer that does not answer is asked again later. */
  static async open({ issuers, logger }: { readonly issuers: readonly Issuer[]; readonly logger: Logger }): Promise<KeyRings> {
    const opened: KeyRing[] = [];
    const open = async (members: readonly Issuer[]) => {
      const ring = await KeyRing.open({ issuers: members, logger });
      opened.push(ring);
      return ring;
    };
    const providers = issuers.filter(({ kind }) => kind === "OIDC");
    const rings = await Promise.allSettled([
      open(issuers.filter(({ kind }) => kind === "Kubernetes")),
      ...providers.map((one) => open([one])),
    ]);
    const failed = rings.find((ring) => ring.status === "rejected");
    if (failed !== undefined) {
      for (const ring of opened) ring.close();
      throw failed.reason;
    }
    const [clusters, ...others] = rings.flatMap((ring) => (ring.status === "fulfilled" ? [ring.value] : []));
    return new KeyRings(clusters!, new Map(providers.map(({ issuer }, index) => [issuer, others[index]!])));
  }

  /** `issuer`: what the token says, which its signature has still to show. */
  find(id: string, issuer: string | undefined): Promise<FoundKey | undefined> {
    return (this.#providers.get(issuer ?? "") ?? this.#clusters).find(id);
  }

  close(): void {
    for (const ring of [this.#clusters, ...this.#providers.values()]) ring.close();
  }
}
