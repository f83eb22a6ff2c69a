// What the record says at one commit: every file read and judged, with who changed it last. Pure data, made anew when the branch moves.

import type { Ledger } from "../domain/ledger.ts";
import { keyString, type ResourceKey } from "../domain/resource.ts";
import { turns } from "../domain/turns.ts";
import type { Git } from "./git.ts";
import type { Commit, FileChange, History } from "./history.ts";
import { parsePath } from "./layout.ts";
import { decide, type DecidedLedger, type PersonalChange } from "./ledger-decisions.ts";
import { readLedger } from "./ledger-file.ts";
import { readResource, type ResourceFile } from "./resource-file.ts";
import { listTree, readBlobs, type TreeFile } from "./tree.ts";
import { isProblem, type FileProblem } from "./yaml-file.ts";

export interface RecordedFile {
  readonly key: ResourceKey;
  readonly path: string;
  /** Effective spec as Git says it; as of the last commit in which the file was valid; undefined when it never was. */
  readonly spec: unknown;
  readonly bytes: Buffer | undefined;
  /** The commit that last changed the file. */
  readonly revision: Commit;
  /** Why the newest file is not what is served. */
  readonly problem: FileProblem | undefined;
  readonly warnings: readonly FileProblem[];
  /** Git's order: position of the commit that brought the file. */
  readonly recordedAt: number;
}

export interface RecordedLedger extends DecidedLedger {
  readonly repository: string;
  readonly path: string;
  /** Bytes of the newest file; undefined when there is none. */
  readonly bytes: Buffer | undefined;
  readonly revision: Commit;
  readonly problem: FileProblem | undefined;
}

export interface RecordView {
  /** Null: nothing was ever committed. */
  readonly head: string | null;
  readonly resources: ReadonlyMap<string, RecordedFile>;
  /** By repository with its prefix; also those whose file a person removed, because their decisions hold. */
  readonly ledgers: ReadonlyMap<string, RecordedLedger>;
  /** Blob of every file, by its path. */
  readonly blobs: ReadonlyMap<string, string>;
  readonly problems: readonly FileProblem[];
  /** Fields of valid files that are kept and ignored. */
  readonly warnings: readonly FileProblem[];
}

export const emptyView: RecordView = {
  head: null,
  resources: new Map(),
  ledgers: new Map(),
  blobs: new Map(),
  problems: [],
  warnings: [],
};

/** Versions of one file that are tried, newest first, when it is not valid. */
const lookBack = 200;

/** Parsed versions that are kept in memory for the next view. */
const maxParsed = 50_000;

/** Reads views of one repository; what did not change since the last view is not read again. */
export class ViewReader {
  readonly #git: Git;
  readonly #folder: string;
  readonly #resources = new Map<string, ResourceFile | FileProblem>();
  readonly #ledgers = new Map<string, Ledger | FileProblem>();
  readonly #bytes = new Map<string, Buffer>();

  constructor({ git, folder }: { git: Git; folder: string }) {
    this.#git = git;
    this.#folder = folder;
  }

  async read(history: History): Promise<RecordView> {
    const { head } = history;
    if (head === null) return emptyView;
    const tree = new Map((await listTree(this.#git, head, this.#folder)).map((file) => [file.path, file]));
    const ledgerPaths = history.paths().filter((path) => parsePath(path)?.type === "ledger");
    await this.#load([
      ...[...tree.values()].filter((file) => parsePath(file.path)?.type === "resource").map((file) => file.blob),
      ...ledgerPaths.flatMap((path) => relevantBlobs(history.changesOf(path))),
    ]);
    const resources = new Map<string, RecordedFile>();
    const pause = turns();
    for (const file of tree.values()) {
      const place = parsePath(file.path);
      if (place?.type !== "resource") continue;
      resources.set(keyString(place.key), await this.#resource(history, file, place.key));
      await pause();
    }
    const ledgers = new Map<string, RecordedLedger>();
    for (const path of ledgerPaths) {
      const place = parsePath(path);
      const ledger = place?.type === "ledger" ? await this.#ledger(history, path, place.repository, tree.get(path)) : undefined;
      if (ledger !== undefined) ledgers.set(ledger.repository, ledger);
    }
    this.#forget(new Set([...tree.values()].map(({ blob }) => blob)));
    const problems = [...resources.values(), ...ledgers.values()].flatMap(({ problem }) => problem ?? []);
    const warnings = [...resources.values()].flatMap((file) => file.warnings);
    return { head, resources, ledgers, blobs: new Map([...tree].map(([path, { blob }]) => [path, blob])), problems, warnings };
  }

  /** Bytes of blobs, those of the view from memory; what does not exist is absent from the answer. */
  async bytesOf(blobs: readonly string[]): Promise<ReadonlyMap<string, Buffer>> {
    const missing = await readBlobs(
      this.#git,
      blobs.filter((blob) => !this.#bytes.has(blob)),
    );
    return new Map([...blobs.flatMap((blob) => toEntries(blob, this.#bytes.get(blob))), ...missing]);
  }

  async #resource(history: History, file: TreeFile, key: ResourceKey): Promise<RecordedFile> {
    const changes = history.changesOf(file.path);
    const { newest, served } = await this.#judge(lifetime(changes), file, key);
    return {
      key,
      path: file.path,
      spec: served?.spec,
      bytes: this.#bytes.get(file.blob),
      revision: lastOf(changes, file.blob),
      problem: isProblem(newest) ? newest : undefined,
      warnings: isProblem(newest) ? [] : newest.warnings,
      recordedAt: lifetime(changes)[0]?.commit.index ?? 0,
    };
  }

  /**
   * From what the operator last wrote forward, each version by the rules for change against the valid one before it.
   * When none of them is valid, backward to the newest that was.
   */
  async #judge(
    changes: readonly FileChange[],
    file: TreeFile,
    key: ResourceKey,
  ): Promise<{ newest: ResourceFile | FileProblem; served: ResourceFile | undefined }> {
    if (!file.regular) {
      const newest = { path: file.path, line: undefined, message: "is not a regular file: symbolic links are not followed" };
      return { newest, served: await this.#lastValid(changes.slice(0, -1), file.path, key) };
    }
    const ours = Math.max(
      changes.findLastIndex(({ commit }) => commit.installation !== undefined),
      changes.length - lookBack,
      0,
    );
    let served: ResourceFile | undefined;
    let previous: string | undefined;
    for (const blob of changes.slice(ours).flatMap((change) => change.blob ?? [])) {
      const parsed = await this.#parseResource(file.path, blob, key, { blob: previous, spec: served?.spec });
      if (isProblem(parsed)) continue;
      served = parsed;
      previous = blob;
    }
    const newest = await this.#parseResource(file.path, file.blob, key, { blob: previous, spec: served?.spec });
    return { newest, served: served ?? (await this.#lastValid(changes.slice(0, ours), file.path, key)) };
  }

  async #lastValid(changes: readonly FileChange[], path: string, key: ResourceKey): Promise<ResourceFile | undefined> {
    for (const { blob } of changes.toReversed().slice(0, lookBack)) {
      const parsed = blob === undefined ? undefined : await this.#parseResource(path, blob, key, {});
      if (parsed !== undefined && !isProblem(parsed)) return parsed;
    }
    return undefined;
  }

  async #parseResource(
    path: string,
    blob: string,
    key: ResourceKey,
    previous: { readonly blob?: string; readonly spec?: unknown },
  ): Promise<ResourceFile | FileProblem> {
    const id = `${path} ${blob} ${previous.blob ?? ""}`;
    const known = this.#resources.get(id);
    if (known !== undefined) return known;
    const parsed = readResource(path, key, await this.#read(blob), previous.spec);
    this.#resources.set(id, parsed);
    return parsed;
  }

  async #ledger(history: History, path: string, repository: string, file: TreeFile | undefined): Promise<RecordedLedger | undefined> {
    const changes = history.changesOf(path);
    const ours = changes.findLastIndex(({ commit }) => commit.installation !== undefined);
    const written = ours < 0 ? undefined : await this.#parseLedger(path, changes[ours]?.blob);
    const personal: PersonalChange[] = [];
    for (const change of changes.slice(ours + 1)) {
      const ledger = await this.#parseLedger(path, change.blob);
      // An invalid version in between decided nothing: the last valid one is served on.
      if (ledger === undefined || !isProblem(ledger)) personal.push({ commit: change.commit, ledger });
    }
    const last = changes.at(-1);
    if (last === undefined) return undefined;
    const newest = file === undefined ? undefined : await this.#parseLedger(path, file.blob);
    const problem = file?.regular === false ? { path, line: undefined, message: "is not a regular file" } : newest;
    return {
      ...decide(written === undefined || isProblem(written) ? undefined : written, personal),
      repository,
      path,
      bytes: file === undefined ? undefined : this.#bytes.get(file.blob),
      revision: last.commit,
      problem: problem !== undefined && isProblem(problem) ? problem : undefined,
    };
  }

  async #parseLedger(path: string, blob: string | undefined): Promise<Ledger | FileProblem | undefined> {
    if (blob === undefined) return undefined;
    const known = this.#ledgers.get(blob);
    if (known !== undefined) return known;
    const parsed = readLedger(path, await this.#read(blob));
    this.#ledgers.set(blob, parsed);
    return parsed;
  }

  /** Bytes are needed of what is there; older versions were read for what they said. */
  #forget(present: ReadonlySet<string>): void {
    for (const blob of this.#bytes.keys()) if (!present.has(blob)) this.#bytes.delete(blob);
    if (this.#resources.size > maxParsed) this.#resources.clear();
    if (this.#ledgers.size > maxParsed) this.#ledgers.clear();
  }

  async #read(blob: string): Promise<Buffer> {
    await this.#load([blob]);
    return this.#bytes.get(blob) ?? Buffer.alloc(0);
  }

  async #load(blobs: readonly string[]): Promise<void> {
    const missing = blobs.filter((blob) => !this.#bytes.has(blob));
    for (const [blob, bytes] of await readBlobs(this.#git, missing)) this.#bytes.set(blob, bytes);
  }
}

function toEntries(blob: string, bytes: Buffer | undefined): [string, Buffer][] {
  return bytes === undefined ? [] : [[blob, bytes]];
}

/** What the operator last wrote, and everything since. */
function relevantBlobs(changes: readonly FileChange[]): string[] {
  const ours = changes.findLastIndex(({ commit }) => commit.installation !== undefined);
  return changes.slice(Math.max(ours, 0)).flatMap(({ blob }) => blob ?? []);
}

function lastOf(changes: readonly FileChange[], blob: string): Commit {
  const change = changes.findLast((candidate) => candidate.blob === blob) ?? changes.at(-1);
  if (change === undefined) throw new Error("A file of the tree has no commit in its history; the repository is shallow or damaged");
  return change.commit;
}

/** Since the file last came into being: what a person removed is not served again because a later file is broken. */
function lifetime(changes: readonly FileChange[]): readonly FileChange[] {
  return changes.slice(changes.findLastIndex(({ blob }) => blob === undefined) + 1);
}
