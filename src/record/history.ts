// The memory is the history: who committed what, for which resource, and which commit last changed a file (design: record, "One rule").
// Read once when the record is opened, then only what is new.

import { trailers } from "../api/conditions.ts";
import { keyString, type ResourceKey } from "../domain/resource.ts";
import type { Git } from "./git.ts";
import { parseKey, parsePath } from "./layout.ts";
import { withinFolder } from "./tree.ts";

export interface Commit {
  readonly id: string;
  readonly parents: readonly string[];
  readonly author: { readonly name: string; readonly email: string };
  /** RFC 3339. */
  readonly date: string;
  readonly subject: string;
  /** Set for commits of an operator; undefined for a person's, and for copies of an operator's commit that a person made (cherry-pick). */
  readonly installation: string | undefined;
  /** The word by which a person let this removal go. */
  readonly confirmedBy: string | undefined;
  /** Position in the history, parents first. */
  readonly index: number;
}

/** A file as a commit left it. */
export interface FileChange {
  readonly commit: Commit;
  /** Blob id; undefined when the commit removed the file. */
  readonly blob: string | undefined;
}

/** The file of a resource came into being with a commit, or went. */
export interface Presence {
  readonly key: ResourceKey;
  readonly commit: Commit;
  readonly present: boolean;
}

/** What was last recorded for a resource. */
export interface Memory {
  readonly key: ResourceKey;
  readonly generation: number;
  /** "none": its removal was recorded. */
  readonly specDigest: string;
  readonly installation: string;
  /** Of the namespace in which it was then; undefined where nobody said so. */
  readonly namespaceUid: string | undefined;
  /** The newest commit with the resource's trailer. */
  readonly commit: Commit;
  /** The commit since which this Spec-Digest is the last recorded; later ones only adopted. */
  readonly since: Commit;
}

/** An installation whose operator has committed here. */
export interface Writer {
  /** Its id. */
  readonly id: string;
  readonly first: Commit;
  readonly last: Commit;
}

/** Fields of one commit as `git log` prints them; NUL cannot occur in any of them. */
const format = ["%H", "%P", "%an", "%ae", "%aI", "%s", "%(trailers:only=true,unfold=true)"].join("%x00");
const fields = 7;

export class History {
  readonly #folder: string;
  readonly #commits = new Map<string, Commit>();
  readonly #files = new Map<string, FileChange[]>();
  readonly #presences: Presence[] = [];
  readonly #memory = new Map<string, Memory>();
  /** Words of persons that removals name. */
  readonly #takenWords = new Set<string>();
  /** Identity of every operator's commit, to recognise copies. */
  readonly #seen = new Set<string>();
  readonly #runs = new Set<string>();
  readonly #writers = new Map<string, Writer>();
  /** The commit that brought a build, by `repository@digest`. */
  readonly #builds = new Map<string, string>();
  #head: string | null = null;

  /** `folder`: where in the repository the record lies; "": at its root. */
  constructor(folder = "") {
    this.#folder = folder;
  }

  get head(): string | null {
    return this.#head;
  }

  has(commit: string): boolean {
    return this.#commits.has(commit);
  }

  commit(id: string): Commit | undefined {
    return this.#commits.get(id);
  }

  /** Every path that ever existed. */
  paths(): readonly string[] {
    return [...this.#files.keys()];
  }

  /** Oldest first; empty for a path that never existed. */
  changesOf(path: string): readonly FileChange[] {
    return this.#files.get(path) ?? [];
  }

  lastChange(path: string): FileChange | undefined {
    return this.#files.get(path)?.at(-1);
  }

  /** What `commit` left at `path`: its own change or the last one before. */
  changeAt(path: string, commit: Commit): FileChange | undefined {
    return this.#files.get(path)?.findLast((change) => change.commit.index <= commit.index);
  }

  /**
   * Newest first, up to the first commit of an operator that is older: the date of a person's commit says nothing about when it came here. One with a
   * date that is still to come is among them.
   */
  presencesSince(date: Date): readonly Presence[] {
    const older = this.#presences.findLastIndex(
      ({ commit }) => commit.installation !== undefined && Date.parse(commit.date) <= date.getTime(),
    );
    return this.#presences.slice(older + 1).reverse();
  }

  /** Whether removals went by this word of a person: it counts once. */
  hasTaken(word: string): boolean {
    return this.#takenWords.has(word);
  }

  memoryOf(key: ResourceKey): Memory | undefined {
    return this.#memory.get(keyString(key));
  }

  memories(): readonly Memory[] {
    return [...this.#memory.values()];
  }

  /** The newest commit that brought a build into the ledger of `repository` (with its prefix); undefined when a person wrote it there. */
  commitOfBuild(repository: string, digest: string): string | undefined {
    return this.#builds.get(`${repository}@${digest}`);
  }

  /** Those whose commits are for this folder; an original counts, and no copy that a person made. */
  writers(): readonly Writer[] {
    return [...this.#writers.values()];
  }

  /** Whether a commit tells what this run did. */
  tellsOf(run: string): boolean {
    return this.#runs.has(run);
  }

  /** The run that a commit told of last. */
  get lastRun(): string | undefined {
    return [...this.#runs].at(-1);
  }

  /** Reads the commits from the known head to `head`. The caller starts a new History when the known head is no ancestor of it. */
  async advance(git: Git, head: string): Promise<void> {
    if (head === this.#head) return;
    const range = this.#head === null ? [head] : [head, `^${this.#head}`];
    const output = await git.run([
      "log",
      "-z",
      "--topo-order",
      "--reverse",
      "--raw",
      "-c", // a merge changed only what differs from all its parents
      "--no-renames",
      "--no-abbrev",
      `--format=${format}`,
      "--end-of-options",
      ...range,
    ]);
    this.#read(output.toString("utf8").split("\0"));
    this.#head = head;
  }

  /** Tokens: the fields of a commit, then `:modes blobs status`, path, `:…`, path; the next commit begins with its id. */
  #read(tokens: readonly string[]): void {
    let at = 0;
    while (at + fields <= tokens.length) {
      const commit = this.#remember(tokens.slice(at, at + fields));
      at += fields;
      for (;;) {
        const raw = tokens[at]?.trimStart() ?? "";
        if (!raw.startsWith(":")) break;
        this.#change(commit, raw, tokens[at + 1] ?? "");
        at += 2;
      }
      // A merge without changes of its own leaves an empty token.
      while (tokens[at]?.trim() === "") at++;
    }
  }

  #remember(values: readonly string[]): Commit {
    const [id = "", parents = "", name = "", email = "", date = "", subject = "", trailerText = ""] = values;
    const found = parseTrailers(trailerText);
    // The same operator's commit a second time is a copy that a person made: it changes files, and it is no memory.
    const identity = [name, email, date, trailerText, subject].join("\0");
    const ours = (found.get(trailers.folder) ?? "") === this.#folder;
    const original = ours && found.get(trailers.installation) !== undefined && !this.#seen.has(identity);
    this.#seen.add(identity);
    const commit: Commit = {
      id: id.trimStart(),
      parents: parents === "" ? [] : parents.split(" "),
      author: { name, email },
      date,
      subject,
      installation: original ? found.get(trailers.installation) : undefined,
      confirmedBy: original ? found.get(trailers.confirmedRemoval) : undefined,
      index: this.#commits.size,
    };
    this.#commits.set(commit.id, commit);
    if (original) this.#recordMemory(commit, found);
    const by = commit.installation;
    if (by !== undefined) this.#writers.set(by, { id: by, first: this.#writers.get(by)?.first ?? commit, last: commit });
    if (commit.confirmedBy !== undefined) this.#takenWords.add(commit.confirmedBy);
    const run = found.get(trailers.run);
    if (original && run !== undefined) this.#runs.add(run);
    const build = found.get(trailers.build);
    if (original && build !== undefined) this.#builds.set(build, commit.id);
    return commit;
  }

  #recordMemory(commit: Commit, found: ReadonlyMap<string, string>): void {
    const key = parseKey(found.get(trailers.resource) ?? "");
    const specDigest = found.get(trailers.specDigest);
    if (key === undefined || specDigest === undefined || commit.installation === undefined) return;
    const before = this.#memory.get(keyString(key));
    this.#memory.set(keyString(key), {
      key,
      generation: Number.parseInt(found.get(trailers.generation) ?? "1", 10) || 1,
      specDigest,
      installation: commit.installation,
      namespaceUid: found.get(trailers.namespaceUid),
      commit,
      since: before?.specDigest === specDigest ? before.since : commit,
    });
  }

  #change(commit: Commit, raw: string, whole: string): void {
    const path = withinFolder(whole, this.#folder);
    if (path === undefined) return;
    const columns = raw.replace(/^:+/, "").split(" ");
    const blob = columns.at(-2) ?? "";
    const changes = this.#files.get(path) ?? [];
    const present = !/^0+$/.test(blob);
    const place = parsePath(path);
    if (place?.type === "resource" && present !== (changes.at(-1)?.blob !== undefined))
      this.#presences.push({ key: place.key, commit, present });
    changes.push({ commit, blob: present ? blob : undefined });
    this.#files.set(path, changes);
  }
}

function parseTrailers(text: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const line of text.split("\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) found.set(line.slice(0, colon).trim(), line.slice(colon + 1).trim());
  }
  return found;
}
