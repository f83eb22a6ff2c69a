// For tests of the guard: a record and its history without Git, and rounds that do what findRemovals says.

import { keyString, type ResourceKey } from "../../src/domain/resource.ts";
import type { Commit, Memory, Presence } from "../../src/record/history.ts";
import type { RecordedFile } from "../../src/record/record-view.ts";
import { parseRemovalWord, type RemovalWord } from "../../src/record/removal-word.ts";
import type { ObservedResource, ResourceSnapshot } from "../../src/operator/ports.ts";
import { findRemovals, type Removals } from "../../src/operator/rounds/removals.ts";

const installation = "ours";

export class GuardedRecord {
  /** Milliseconds. */
  now = Date.UTC(2026, 10, 22);
  readonly files = new Map<string, ResourceKey>();
  readonly #resources = new Map<string, ResourceKey>();
  readonly #memories = new Map<string, Memory>();
  readonly #commits: Commit[] = [];
  #presences: readonly Presence[] = [];
  #words: readonly RemovalWord[] = [];
  #last: Removals | undefined;

  get head(): string {
    return this.#commits.at(-1)?.id ?? "";
  }

  /** What the last round found. */
  get last(): Removals {
    if (this.#last === undefined) throw new Error("there was no round yet");
    return this.#last;
  }

  apply(keys: readonly ResourceKey[]): void {
    for (const key of keys) this.#resources.set(keyString(key), key);
  }

  remove(keys: readonly ResourceKey[]): void {
    for (const key of keys) this.#resources.delete(keyString(key));
  }

  advance(milliseconds: number): void {
    this.now += milliseconds;
  }

  say(text: string): void {
    const word = parseRemovalWord(text);
    if (word === undefined) throw new Error(`${text} is no word`);
    this.#words = [...this.#words.filter(({ namespace }) => namespace !== word.namespace), word];
  }

  /** A person removes files; those that were there are returned. */
  byHand(keys: readonly ResourceKey[]): readonly ResourceKey[] {
    const commit = this.#commit({ installation: undefined });
    const removed = keys.filter((key) => this.files.delete(keyString(key)));
    for (const key of removed) this.#presence(key, commit, false);
    return removed;
  }

  /** One commit, of a resource that is not there any more. */
  recorded(key: ResourceKey, namespaceUid: string | undefined): void {
    this.#record(key, { namespaceUid });
  }

  find(snapshot: Partial<ResourceSnapshot> = {}, words = this.#words): Removals {
    const resources = [...this.#resources.values()] as unknown as readonly ObservedResource[];
    const view = { resources: new Map([...this.files].map(([id, key]) => [id, { key } as RecordedFile])) };
    const history = {
      memories: () => [...this.#memories.values()],
      commit: (id: string) => this.#commits.find((commit) => commit.id === id),
      hasTaken: (word: string) => this.#commits.some(({ confirmedBy }) => confirmedBy === word),
      presencesSince: (date: Date) => this.#presences.filter(({ commit }) => Date.parse(commit.date) > date.getTime()),
    };
    return findRemovals(view, history, {
      snapshot: { resources, problems: [], complete: true, ...snapshot },
      installation,
      words,
      now: new Date(this.now),
    });
  }

  /** Removes what may go, then records what is new. It takes a second: Git's dates know nothing shorter. */
  round(): Removals {
    const found = this.find();
    for (const { key, confirmedBy } of found.removals) {
      const commit = this.#commit({ confirmedBy });
      this.#remember(key, { specDigest: "none", commit });
      if (this.files.delete(keyString(key))) this.#presence(key, commit, false);
    }
    for (const [id, key] of this.#resources) {
      if ((this.#memories.get(id)?.specDigest ?? "none") === "none") this.#record(key, {});
    }
    this.#words = this.#words.filter((word) => !found.heard.includes(word));
    this.#last = found;
    this.now += 1_000;
    return found;
  }

  #record(key: ResourceKey, { namespaceUid }: { readonly namespaceUid?: string | undefined }): void {
    const commit = this.#commit({});
    this.#remember(key, { specDigest: "sha256:x", commit, namespaceUid });
    if (!this.files.has(keyString(key))) this.#presence(key, commit, true);
    this.files.set(keyString(key), key);
  }

  #remember(key: ResourceKey, memory: Pick<Memory, "specDigest" | "commit"> & { readonly namespaceUid?: string | undefined }): void {
    this.#memories.set(keyString(key), { key, generation: 1, installation, namespaceUid: undefined, since: memory.commit, ...memory });
  }

  #presence(key: ResourceKey, commit: Commit, present: boolean): void {
    this.#presences = [{ key, commit, present }, ...this.#presences];
  }

  #commit(fields: Partial<Pick<Commit, "installation" | "confirmedBy">>): Commit {
    const index = this.#commits.length;
    const id = index.toString(16).padStart(40, "0");
    const commit = { id, index, date: new Date(this.now).toISOString(), installation, confirmedBy: undefined, ...fields } as Commit;
    this.#commits.push(commit);
    return commit;
  }
}
