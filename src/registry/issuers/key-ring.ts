// The keys of all issuers, by key id. Two clusters often call themselves the same, so that the key alone says which of them signed a token
// (design: access.md): a key id has one owner. Two files with it are a mistake in the settings, and refused at the start. What a cluster publishes is its
// own word, with which it must neither stop this registry nor take over the key id of another.

import { printable } from "../../domain/printable.ts";
import { ownCluster } from "../../domain/subjects.ts";
import type { Logger } from "../../observability/logger.ts";
import { KeySetError, readKeySet, type IssuerKey, type KeySetPlace } from "./key-set.ts";

export interface Issuer extends KeySetPlace {
  /** A cluster, of which others may call themselves the same, or an OpenID provider, whose URL nobody else has. */
  readonly kind: "Kubernetes" | "OIDC";
  /** What identities call it. */
  readonly name: string;
  /** OIDC: the claim that says its bearer's groups. */
  readonly groupsClaim?: string;
  /** OIDC: what each of its tokens must say, of each claim one of the values. */
  readonly requiredClaims?: readonly { readonly name: string; readonly values: readonly string[] }[];
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
  #said = "";
  #reading: Promise<void> | undefined;
  #readAt = -Infinity;
  #timer: NodeJS.Timeout | undefined;

  private constructor(options: KeyRingOptions) {
    this.#options = options;
    this.#read = options.read ?? readKeySet;
    this.#now = options.now ?? (() => performance.now());
  }

  /** An issuer that does not answer is asked again later. Rejects when a file of keys is not right, or a key id is in two files. */
  static async open(options: KeyRingOptions): Promise<KeyRing> {
    const ring = new KeyRing(options);
    const lasting = await ring.#readAll();
    const [problem] = lasting;
    if (problem !== undefined) throw problem;
    const twice = ring.#index();
    const mistake = twice.find(({ issuers }) => issuers.every((one) => !isPublished(one)));
    if (mistake !== undefined) throw new Error(`${mistake.message} Give each cluster signing keys of its own.`);
    ring.#tell(twice);
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
        this.#tell(this.#index());
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

  #tell(twice: readonly SharedId[]): void {
    const said = twice.map(({ message }) => message).join(" ");
    if (said !== "" && said !== this.#said) this.#options.logger.error(said);
    this.#said = said;
  }

  /** Answers what is wrong. Of those who have a key id it stays who had it, but a better founded one comes first: this cluster, then a file. */
  #index(): SharedId[] {
    const byId = new Map<string, FoundKey>();
    const twice: SharedId[] = [];
    const claims = this.#options.issuers.flatMap((issuer) => (this.#sets.get(issuer.name) ?? []).map((key) => ({ issuer, key })));
    const owns = ({ issuer, key }: FoundKey) => this.#byId.get(key.id)?.issuer === issuer;
    const order = (claim: FoundKey) => 2 * rankOf(claim.issuer) + (owns(claim) ? 0 : 1);
    for (const claim of claims.toSorted((a, b) => order(a) - order(b))) {
      const owner = byId.get(claim.key.id);
      if (owner === undefined) byId.set(claim.key.id, claim);
      else if (owner.issuer !== claim.issuer) twice.push(sharedBy(owner, claim.issuer));
    }
    this.#byId = byId;
    return twice;
  }
}

interface SharedId {
  readonly message: string;
  readonly issuers: readonly Issuer[];
}

function sharedBy({ issuer: owner, key: { id } }: FoundKey, other: Issuer): SharedId {
  const message = `The key id ${printable(id, 100)} is in the keys of ${owner.name} and of ${other.name} (auth.issuers): nobody could tell their tokens apart. It counts as that of ${owner.name}.`;
  return { message, issuers: [owner, other] };
}

/** From where the issuer says it, and not out of a file that came with the settings. */
function isPublished({ jwks }: Issuer): boolean {
  return jwks === undefined || jwks.startsWith("https://");
}

function rankOf(issuer: Issuer): number {
  if (issuer.name === ownCluster) return 0;
  return isPublished(issuer) ? 2 : 1;
}
