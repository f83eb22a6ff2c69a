// What is known of the record: its references, its history as far as that is followed, and what it says there.

import type { AllowedSigners } from "./allowed-signers.ts";
import { filesAt, isAncestor } from "./ancestry.ts";
import type { Git } from "./git.ts";
import { History } from "./history.ts";
import { emptyView, ViewReader, type RecordView } from "./record-view.ts";
import { References } from "./references.ts";

export interface ReadingOptions {
  readonly git: Git;
  readonly branch: string;
  /** Of the repository, where the record lies; "": its root. */
  readonly place: string;
  /** Undefined: whoever can push is believed. */
  readonly signers: AllowedSigners | undefined;
}

export class Reading {
  readonly references: References;
  readonly #options: ReadingOptions;
  readonly #reader: ViewReader;
  #history: History;
  #view: RecordView = emptyView;
  /** What the registry has published, where nothing here says from where on commits are judged; undefined: it was not asked. */
  #anchor: string | null | undefined;

  constructor(options: ReadingOptions) {
    const { git, branch, place } = options;
    this.#options = options;
    this.references = new References(git, branch);
    this.#reader = new ViewReader({ git, folder: place });
    this.#history = new History(place);
  }

  get view(): RecordView {
    return this.#view;
  }

  get history(): History {
    return this.#history;
  }

  /** There are commits to judge, and nothing here says which of them are trusted: until `trustFrom` none is followed. */
  get needsAnchor(): boolean {
    return this.#options.signers !== undefined && this.references.head !== null && this.#known().length === 0 && this.#anchor === undefined;
  }

  /** What the registry has published is trusted; null: nothing is, and the newest commit vouches for those below it. */
  trustFrom(published: string | null): void {
    this.#anchor = published;
  }

  /** Commits that are trusted with all that is below them, whoever signed it. Empty: none is known. */
  async trusted(): Promise<readonly string[]> {
    const known = this.#known();
    return known.length > 0 ? known : this.#anchored(this.references.head);
  }

  /** Bytes of blobs, those of the view from memory; what does not exist is absent from the answer. */
  bytesOf(blobs: readonly string[]): Promise<ReadonlyMap<string, Buffer>> {
    return this.#reader.bytesOf(blobs);
  }

  /** Reads what is new. Cheap when nothing is. */
  async read(): Promise<void> {
    await this.references.read();
    const head = await this.#followable();
    if (head === this.#view.head) return;
    if (head === null || !(await this.#continues(head))) this.#history = new History(this.#options.place);
    await this.advance(head);
  }

  /** To a commit that continues what is known; null where nothing is. */
  async advance(head: string | null): Promise<void> {
    if (head !== null) await this.#history.advance(this.#options.git, head);
    this.#view = await this.#reader.read(this.#history);
  }

  /** Whether `ancestor` is in the history of `commit`; false when one of them does not exist here. */
  async isAncestor(ancestor: string, commit: string): Promise<boolean> {
    if (commit === this.#history.head) return this.#history.has(ancestor);
    return isAncestor(this.#options.git, ancestor, commit);
  }

  /** Paths and blobs of a commit; undefined when it does not exist here. */
  filesAt(commit: string): Promise<ReadonlyMap<string, string> | undefined> {
    return filesAt(this.#options.git, commit, this.#options.place);
  }

  /** Where the branch is; while it holds a commit of somebody who is not allowed, what was trusted last. */
  async #followable(): Promise<string | null> {
    const { git, signers } = this.#options;
    const { head, published } = this.references;
    if (this.needsAnchor) return null;
    const trusted = await this.trusted();
    const allowed = (await signers?.allow(git, { head, trusted })) ?? true;
    return allowed ? head : (this.#view.head ?? published ?? trusted[0] ?? null);
  }

  /** As far as this copy of the record knows. */
  #known(): readonly string[] {
    const { published, confirmations } = this.references;
    return [this.#view.head, published, confirmations.accepted].filter((commit) => commit !== null);
  }

  /** What is published, where it is part of the branch. A branch that lost it waits for a person elsewhere. */
  async #anchored(head: string | null): Promise<readonly string[]> {
    if (head === null || this.#anchor === undefined || this.#anchor === null) return [];
    return (await this.isAncestor(this.#anchor, head)) ? [this.#anchor] : [];
  }

  /** Whether what is known of the history is part of the history of `head`. */
  async #continues(head: string): Promise<boolean> {
    const known = this.#history.head;
    return known === null || (await this.isAncestor(known, head));
  }
}
