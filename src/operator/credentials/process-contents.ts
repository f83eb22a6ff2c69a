// What the processes of the registry have of all that is delivered to them: each says the hash of the whole content that it has loaded, and here it is
// known what was whose in it.

import type { RecordState } from "../../api/control/record.ts";
import { contentHash, hashOf } from "../../domain/mounted-secrets.ts";
import { byOwner, type Files } from "./credentials-bundle.ts";

type Pods = RecordState["pods"];
/** Digest of what belongs to whom, by owner (domain/mounted-secrets.ts). They stay in memory: to see whether two contents have the same of somebody. */
export type Digests = ReadonlyMap<string, string>;

/** Contents that processes may still have: each of them is the kubelet's minute old at most. */
const remembered = 20;
const empty = hashOf(new Map());

export class ProcessContents {
  /** By the hash of the whole content. */
  readonly #contents = new Map<string, Digests>();
  #pods: Pods = [];

  get pods(): Pods {
    return this.#pods;
  }

  /** The processes that live, and what they say. */
  heard(pods: Pods): void {
    this.#pods = pods;
  }

  /** They may have this content from now on. */
  remember(files: Files): void {
    const hash = hashOf(files);
    if (hash === undefined) return;
    this.#contents.delete(hash);
    this.#contents.set(hash, digestsOf(files));
    const [oldest] = this.#contents.keys();
    if (this.#contents.size > remembered && oldest !== undefined) this.#contents.delete(oldest);
  }

  /** Processes that have something else of an owner than what is wanted (undefined: nothing); undefined: some do not say what they have. */
  behind(owner: string, wanted: string | undefined): Pods | undefined {
    if (this.#pods.length === 0 || this.#pods.some(({ credentials }) => credentials === undefined)) return undefined;
    return this.#pods.filter(({ credentials }) => {
      const content = this.#contentOf(credentials);
      return content === undefined || content.get(owner) !== wanted;
    });
  }

  /** Whether every process has anything of an owner, be it old; undefined: some have what was there before this process, or do not say what. */
  has(owner: string): boolean | undefined {
    const answers = new Set(this.#pods.map(({ credentials }) => this.#contentOf(credentials)?.has(owner)));
    return answers.has(false) ? false : answers.has(undefined) ? undefined : true;
  }

  #contentOf(hash: string | undefined): Digests | undefined {
    if (hash === undefined) return undefined;
    return hash === empty ? new Map() : this.#contents.get(hash);
  }
}

export function digestsOf(files: Files): Digests {
  return new Map([...byOwner(files)].map(([owner, own]) => [owner, contentHash(own)]));
}
