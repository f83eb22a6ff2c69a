// The Secrets and ConfigMaps that resources name, on their way to the registry's processes: gathered in one Secret, which these mount, and followed until every
// process that lives says that it has what is wanted. Nothing here waits for Git: credentials that are taken away are gone at once (architecture.md).

import { randomBytes } from "node:crypto";

import { reasons } from "../../api/conditions.ts";
import type { RecordState } from "../../api/control/record.ts";
import { hashOf, ownerOf, saltFile, type MountedOwner } from "../../domain/mounted-secrets.ts";
import type { Logger } from "../../observability/logger.ts";
import { BatchQueue } from "../batch-queue.ts";
import type { Precedence } from "./bundle-room.ts";
import { bundleOf, type Bundle, type Files, type SecretContent } from "./credentials-bundle.ts";
import { every } from "../every.ts";
import type { CredentialsDelivery, DeliveryState } from "../ports.ts";
import { digestsOf, ProcessContents, type Digests } from "./process-contents.ts";
import type { Finding } from "../reconcilers/skeleton.ts";
import type { WantedSecret } from "./secret-references.ts";

/** The Secret that is mounted. Both reject with an Error whose message may be shown. */
export interface CredentialsStore {
  /** `namespace/name` */
  readonly name: string;
  /** Undefined: there is none. */
  read(): Promise<Files | undefined>;
  /** Exactly this is in it afterwards; resolves with what is. */
  write(files: Files): Promise<Files>;
}

export interface DeliveryOptions {
  readonly store: CredentialsStore;
  readonly source: {
    contentOf(owner: MountedOwner): SecretContent;
    onChange(listener: () => void): () => void;
    /** Other Secrets are wanted than before. */
    look(): void;
  };
  /** The Secrets of users and robots, which no resource names; none where somebody else brings them. */
  readonly users: readonly WantedSecret[];
  /** Who comes first where not everything fits. */
  readonly precedence: Omit<Precedence, "users">;
  /** Asks the registry which process has what. */
  readonly record: () => Promise<Pick<RecordState, "pods">>;
  readonly logger: Logger;
  /** Milliseconds between two questions while something is on its way. */
  readonly askEvery?: number;
}

const askEvery = 5_000;
/** Milliseconds after which what a kubelet brings has gone astray: it takes a minute, with all its caches two. */
const lateAfter = 180_000;

export class Delivery implements CredentialsDelivery {
  readonly #options: DeliveryOptions;
  readonly #queue: BatchQueue;
  readonly #listeners = new Set<() => void>();
  readonly #abort = new AbortController();
  readonly #processes = new ProcessContents();
  /** Since when (milliseconds of the clock) processes have not had what is wanted of whom. */
  readonly #behindSince = new Map<string, { readonly digest: string; readonly at: number }>();
  readonly #unsubscribe: () => void;
  #wanted: { readonly secrets: readonly WantedSecret[]; readonly keepOthers: boolean } | undefined;
  #held: Files = new Map();
  #bundle: Bundle = { files: new Map(), left: new Map() };
  /** Of the bundle. */
  #digests: Digests = new Map();
  #problem: string | undefined;
  /** The Secret was read once. */
  #seen = false;
  #asking: Promise<void> = Promise.resolve();

  constructor(options: DeliveryOptions) {
    this.#options = options;
    this.#queue = new BatchQueue({
      work: () => this.#sync(),
      onError: (error) =>
        options.logger.warn({ error: String(error) }, "the Secrets of resources could not be gathered; it is tried again"),
      quiet: 50,
      longest: 500,
    });
    this.#unsubscribe = options.source.onChange(() => this.#look());
  }

  /** Resolves when it is known what the processes were given before, so that nothing is said anew of what is as it was. */
  async start(): Promise<void> {
    try {
      this.#hold((await this.#options.store.read()) ?? new Map());
      this.#seen = true;
    } catch (error) {
      this.#options.logger.warn(`${(error as Error).message}; it is tried again`);
    }
    this.#asking = every(this.#options.askEvery ?? askEvery, this.#abort.signal, () => this.#ask());
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    this.#unsubscribe();
    await this.#queue.stop();
    await this.#asking;
  }

  /** Everything that is wanted, so that whoever fetches Secrets knows which. */
  get wanted(): readonly WantedSecret[] {
    return [...this.#options.users, ...(this.#wanted?.secrets ?? [])];
  }

  want(secrets: readonly WantedSecret[], { keepOthers }: { readonly keepOthers: boolean }): void {
    const before = namesOf(this.wanted);
    this.#wanted = { secrets, keepOthers };
    if (this.#seen) this.#plan();
    if (namesOf(this.wanted) === before) return this.#queue.remind("credentials");
    this.#options.source.look();
    this.#queue.add("credentials");
  }

  heard(pods: RecordState["pods"]): void {
    this.#processes.heard(pods);
    this.#clock();
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  stateOf(mounted: MountedOwner): DeliveryState {
    const owner = ownerOf(mounted);
    const behind = this.#processes.behind(owner, this.#digests.get(owner));
    if (this.#options.source.contentOf(mounted).state === "unknown") {
      const served = this.#seen ? this.#digests.has(owner) && this.#processes.has(owner) : undefined;
      return { state: "unread", served, reason: reasons.notDelivered, message: `${owner} could not be read: it is tried again` };
    }
    if (!this.#seen) {
      if (behind === undefined) return { state: "unsaid" };
      const message = this.#problem ?? "what the processes of the registry were given before could not be read: it is tried again";
      return { state: "onItsWay", served: undefined, reason: reasons.notDelivered, message };
    }
    const left = this.#bundle.left.get(owner);
    if (left !== undefined) return { state: "refused", ...left };
    if (behind === undefined) return { state: "unsaid" };
    if (behind.length === 0) return { state: "delivered" };
    return { state: "onItsWay", served: this.#processes.has(owner), ...this.#why(owner, behind) };
  }

  #why(owner: string, behind: RecordState["pods"]): Finding {
    if (this.#problem !== undefined) return { reason: reasons.notDelivered, message: this.#problem };
    const since = this.#behindSince.get(owner)?.at ?? Date.now();
    const lacking = `not every process of the registry has ${owner} as it is now`;
    if (Date.now() - since < lateAfter) {
      // Without names or counts: it is one change of a status, however many processes there are.
      const message = `${lacking}; where they are Pods the kubelet brings it within about a minute`;
      return { reason: reasons.progressing, message };
    }
    const [first] = behind.map(({ id }) => id).sort();
    const message =
      `${lacking} since ${new Date(since).toISOString()}, a kubelet takes two minutes at most: look at whether Secret ${this.#options.store.name} ` +
      `is what they mount for --secrets, and what the events of their Pods say (for example of ${first})`;
    return { reason: reasons.notDelivered, message };
  }

  /** What was withdrawn or changed counts at once, whatever rounds are doing. */
  #look(): void {
    if (this.#wanted === undefined || this.#abort.signal.aborted) return;
    if (this.#seen) this.#plan();
    this.#queue.add("credentials");
  }

  #plan(): void {
    const { source, users } = this.#options;
    const { keepOthers } = this.#wanted ?? { keepOthers: true };
    const contentOf = (owner: MountedOwner) => source.contentOf(owner);
    this.#bundle = bundleOf(this.wanted, { contentOf, before: this.#held, keepOthers, precedence: { ...this.#options.precedence, users } });
    this.#digests = digestsOf(this.#bundle.files);
    this.#clock();
  }

  async #sync(): Promise<readonly string[]> {
    const { store, logger } = this.#options;
    const before = this.#summary();
    try {
      this.#hold((await store.read()) ?? new Map());
      this.#seen = true;
      this.#plan();
      const salt = this.#held.get(saltFile) ?? Buffer.from(randomBytes(32).toString("hex"));
      const files: Files = new Map([[saltFile, salt], ...this.#bundle.files]);
      const nothing = this.#held.size === 0 && this.#bundle.files.size === 0;
      if (!nothing && !same(files, this.#held)) {
        this.#hold(await store.write(files));
        logger.info({ secrets: this.#digests.size }, `Secret ${store.name}: what resources name is in it as it is now`);
      }
      this.#problem = undefined;
      return [];
    } catch (error) {
      const message = (error as Error).message;
      if (message !== this.#problem) logger.warn(`${message}; it is tried again`);
      this.#problem = message;
      return ["credentials"];
    } finally {
      if (this.#summary() !== before) this.#tell();
    }
  }

  #hold(files: Files): void {
    this.#held = files;
    this.#processes.remember(files);
  }

  /** Notes since when what is wanted has not arrived, of each owner. */
  #clock(): void {
    for (const owner of this.#behindSince.keys()) if (!this.#digests.has(owner)) this.#behindSince.delete(owner);
    for (const [owner, digest] of this.#digests) {
      if ((this.#processes.behind(owner, digest)?.length ?? 0) === 0) this.#behindSince.delete(owner);
      else if (this.#behindSince.get(owner)?.digest !== digest) this.#behindSince.set(owner, { digest, at: Date.now() });
    }
  }

  /** While something is on its way: nobody tells when it has arrived. */
  async #ask(): Promise<void> {
    this.#clock();
    if (this.#behindSince.size === 0) return;
    const before = this.#summary();
    const state = await this.#options.record().catch(() => undefined);
    if (state === undefined) return;
    this.heard(state.pods);
    if (this.#summary() !== before) this.#tell();
  }

  /** What states are made of. */
  #summary(): string {
    const pods = this.#processes.pods.map(({ id, credentials }) => [id, credentials]);
    return JSON.stringify([this.#seen, hashOf(this.#held), [...this.#digests], [...this.#bundle.left], this.#problem, pods]);
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

function namesOf(secrets: readonly WantedSecret[]): string {
  return [...new Set(secrets.map(ownerOf))].sort().join(" ");
}

function same(left: Files, right: Files): boolean {
  return (
    left.size === right.size &&
    [...left].every(([file, bytes]) => right.has(file) && Buffer.compare(bytes, right.get(file) ?? Buffer.of()) === 0)
  );
}
