// The record's references: its branch, what was published of it, and what a person said. Read together: each call of git is a process.

import type { Git } from "./git.ts";
import type { RemovalWord } from "./removal-word.ts";

/** Which commits people named with `wharfinger record accept-revision | confirm-removal`. */
export interface Confirmations {
  readonly accepted: string | null;
  readonly removals: readonly RemovalWord[];
}

const folder = "refs/wharfinger";

export const refs = {
  /** The last published commit: keeps it from being collected when history is rewritten, and remembers it when the database is lost. */
  published: `${folder}/published`,
  accepted: `${folder}/accept`,
  /** The remote's branch, as last fetched. */
  fetched: `${folder}/remote`,
} as const;

export type Decision = "accepted" | "removal";

/** A removal has one reference a namespace. */
export const removalsFolder = `${folder}/removal`;
/** Of all namespaces: none is called so. */
const everywhere = "@all";

export function decisionRef(what: Decision, namespace: string | undefined): string {
  return what === "accepted" ? refs.accepted : `${removalsFolder}/${namespace ?? everywhere}`;
}

export class References {
  readonly #git: Git;
  readonly #branch: string;
  #commits: ReadonlyMap<string, string> = new Map();

  constructor(git: Git, branch: string) {
    this.#git = git;
    this.#branch = `refs/heads/${branch}`;
  }

  /** As last read; null: it has no commit. */
  get head(): string | null {
    return this.#commits.get(this.#branch) ?? null;
  }

  /** As last read or written here. */
  get published(): string | null {
    return this.#commits.get(refs.published) ?? null;
  }

  get confirmations(): Confirmations {
    const removals = [...this.#commits].flatMap(([name, commit]): RemovalWord[] => {
      if (!name.startsWith(`${removalsFolder}/`)) return [];
      const namespace = name.slice(removalsFolder.length + 1);
      return [namespace === everywhere ? { commit } : { commit, namespace }];
    });
    return { accepted: this.#commits.get(refs.accepted) ?? null, removals };
  }

  async read(): Promise<void> {
    const output = await this.#git.run(["for-each-ref", "--format=%(refname) %(objectname)", this.#branch, folder]);
    const lines = output.toString("utf8").trim().split("\n");
    this.#commits = new Map(lines.map((line) => line.split(" ") as [string, string]));
  }

  async set(name: string, commit: string): Promise<void> {
    await this.#git.run(["update-ref", name, commit]);
    this.#commits = new Map([...this.#commits, [name, commit]]);
  }

  /** Where it names `commit`: what was written there meanwhile, by us or by somebody else, stays. */
  async remove(name: string, commit: string): Promise<void> {
    if (this.#commits.get(name) !== commit) return;
    await this.#git.try(["update-ref", "-d", name, commit]);
    this.#commits = new Map([...this.#commits].filter(([known, named]) => known !== name || named !== commit));
  }
}
