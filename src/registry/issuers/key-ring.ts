// The keys of all issuers, by key id. Two clusters often call themselves the same, so that the key alone says which of them signed a token
// (design: access.md): a key id of two issuers is refused.

import type { Logger } from "../../observability/logger.ts";
import { KeySetError, readKeySet, type IssuerKey, type KeySetPlace } from "./key-set.ts";

export interface Issuer extends KeySetPlace {
  /** A cluster, of which others may call themselves the same, or an OpenID provider, whose URL nobody else has. */
  readonly kind: "Kubernetes" | "OIDC";
  /** What identities call it. */
  readonly name: string;
  /** OIDC: the claim that says its bearer's groups. */
  readonly groupsClaim?: string;
}

export interface FoundKey {
  readonly issuer: Issuer;
  readonly key: IssuerKey;
}

export interface KeyRingOptions {
  readonly issuers: readonly Issuer[];
  readonly logger: Logger;
  readonly read?: (place: KeySetPlace) => Promise<readonly IssuerKey[]>;
  /** Milliseconds, of a clock that only goes forward. */
  readonly now?: () => number;
}

/** Milliseconds. A key that its issuer takes back counts for so long at most, as long as the issuer answers. */
const readEvery = 5 * 60_000;
/** Whoever shows made-up key ids makes us ask the issuers no oftener. */
const askEvery = 30_000;

export class KeyRing {
  readonly #options: KeyRingOptions;
  readonly #read: (place: KeySetPlace) => Promise<readonly IssuerKey[]>;
  readonly #now: () => number;
  /** By issuer's name, as they were read last. */
  readonly #sets = new Map<string, readonly IssuerKey[]>();
  readonly #problems = new Map<string, string>();
  #byId: ReadonlyMap<string, FoundKey> = new Map();
  #reading: Promise<void> | undefined;
  #readAt = -Infinity;
  #timer: NodeJS.Timeout | undefined;

  private constructor(options: KeyRingOptions) {
    this.#options = options;
    this.#read = options.read ?? readKeySet;
    this.#now = options.now ?? (() => performance.now());
  }

  /** An issuer that does not answer is asked again later. Rejects when a file of keys is not right, or a key id is of two issuers. */
  static async open(options: KeyRingOptions): Promise<KeyRing> {
    const ring = new KeyRing(options);
    const lasting = await ring.#readAll();
    const [problem] = lasting;
    if (problem !== undefined) throw problem;
    const [twice] = ring.#index();
    if (twice !== undefined) throw new Error(`${twice} Give each cluster signing keys of its own.`);
    ring.#timer = setInterval(() => void ring.#again(), readEvery).unref();
    return ring;
  }

  /** An id that is not known is looked for once more at the issuers, if they were not asked just now. */
  async find(id: string): Promise<FoundKey | undefined> {
    const known = this.#byId.get(id);
    if (known !== undefined) return known;
    if (this.#reading !== undefined || this.#now() - this.#readAt >= askEvery) await this.#again();
    return this.#byId.get(id);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #again(): Promise<void> {
    this.#reading ??= this.#readAll()
      .then(() => {
        for (const problem of this.#index()) this.#options.logger.error(problem);
      })
      .finally(() => (this.#reading = undefined));
    return this.#reading;
  }

  /** What cannot be read stays as it was. Resolves with the problems that waiting does not mend. */
  async #readAll(): Promise<Error[]> {
    this.#readAt = this.#now();
    const outcomes = await Promise.all(
      this.#options.issuers.map(async (issuer) => {
        try {
          this.#sets.set(issuer.name, await this.#read(issuer));
          this.#problems.delete(issuer.name);
        } catch (error) {
          const { message } = error as Error;
          if (this.#problems.get(issuer.name) !== message)
            this.#options.logger.warn({ issuer: issuer.name }, `auth.issuers ${issuer.name}: ${message}`);
          this.#problems.set(issuer.name, message);
          if (!(error instanceof KeySetError && error.temporary))
            return new Error(`auth.issuers ${issuer.name}: ${message}`, { cause: error });
        }
        return undefined;
      }),
    );
    return outcomes.filter((outcome) => outcome !== undefined);
  }

  /** Answers what is wrong: a key id that a second issuer came with later stays the first one's. */
  #index(): string[] {
    const byId = new Map<string, FoundKey>();
    const twice: string[] = [];
    const claims = this.#options.issuers.flatMap((issuer) => (this.#sets.get(issuer.name) ?? []).map((key) => ({ issuer, key })));
    const owns = ({ issuer, key }: FoundKey) => this.#byId.get(key.id)?.issuer === issuer;
    for (const claim of [...claims.filter(owns), ...claims.filter((claim) => !owns(claim))]) {
      const owner = byId.get(claim.key.id);
      if (owner === undefined) byId.set(claim.key.id, claim);
      else
        twice.push(
          `The key id ${claim.key.id} is in the keys of ${owner.issuer.name} and of ${claim.issuer.name} (auth.issuers): nobody could tell their tokens apart.`,
        );
    }
    this.#byId = byId;
    return twice;
  }
}
