// What an import did: counts for people and programs, and everything that stayed behind, by name.

import type { Digest } from "../domain/digest.ts";

export type ProblemKind =
  | "danglingTag" // listed, and points to nothing
  | "brokenLink" // a file of the layout holds no digest, or cannot be read
  | "missingManifest"
  | "missingBlob"
  | "wrongBytes"
  | "schema1"
  | "unsupportedManifest"
  | "incompleteManifest" // blobs that it needs could not be imported
  | "unreadable" // the source fails or refuses
  | "refused" // the registry does not take it
  | "name" // not one that a repository or tag can have here
  | "missingRepository"
  | "tagLeft" // it points elsewhere here
  | "tagWithoutManifest"; // what it points at could not be imported

export interface Problem {
  readonly kind: ProblemKind;
  /** Of the source. */
  readonly repository: string;
  readonly tag?: string;
  readonly digest?: Digest;
  readonly message: string;
}

export interface ImportResult {
  readonly source: string;
  readonly target: string;
  readonly dryRun: boolean;
  readonly repositories: { readonly selected: number; readonly done: number };
  /** `created` and `moved` here; `unchanged` were right already; `left` point elsewhere here; `skipped` have nothing to point at. */
  readonly tags: {
    readonly created: number;
    readonly moved: number;
    readonly unchanged: number;
    readonly left: number;
    readonly skipped: number;
  };
  readonly manifests: { readonly copied: number; readonly present: number };
  /** `present`: the registry had them, in this repository or in another one that it could mount them from. `bytes`: of those that were copied, as far as they were sent. */
  readonly blobs: { readonly copied: number; readonly present: number; readonly bytes: number };
  readonly seconds: number;
  /** How many of each kind. */
  readonly problemsByKind: Readonly<Partial<Record<ProblemKind, number>>>;
  readonly problems: readonly Problem[];
}

type Counts = {
  -readonly [key in "tags" | "manifests" | "blobs" | "repositories"]: { -readonly [name in keyof ImportResult[key]]: number };
};

export class ImportReport {
  readonly counts: Counts = {
    repositories: { selected: 0, done: 0 },
    tags: { created: 0, moved: 0, unchanged: 0, left: 0, skipped: 0 },
    manifests: { copied: 0, present: 0 },
    blobs: { copied: 0, present: 0, bytes: 0 },
  };
  /** Names that the source's list has had so far. */
  listed = 0;
  readonly #problems: Problem[] = [];
  readonly #started = performance.now();
  readonly #onProblem: (problem: Problem) => void;

  /** `onProblem`: told at once. */
  constructor(options: { readonly onProblem?: (problem: Problem) => void } = {}) {
    this.#onProblem = options.onProblem ?? (() => {});
  }

  problem(problem: Problem): void {
    this.#problems.push(problem);
    this.#onProblem(problem);
  }

  /** Nothing stayed behind so far. */
  get empty(): boolean {
    return this.#problems.length === 0;
  }

  get seconds(): number {
    return (performance.now() - this.#started) / 1000;
  }

  result(of: Pick<ImportResult, "source" | "target" | "dryRun">): ImportResult {
    const problemsByKind: Partial<Record<ProblemKind, number>> = {};
    for (const { kind } of this.#problems) problemsByKind[kind] = (problemsByKind[kind] ?? 0) + 1;
    return { ...of, ...this.counts, seconds: Math.round(this.seconds * 1000) / 1000, problemsByKind, problems: this.#problems };
  }
}
