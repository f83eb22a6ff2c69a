// The record's references: its branch, what was published of it, and what a person said. Read together: each call of git is a process.

import type { Git } from "./git.ts";

/** Which commit the last person's `wharfinger record accept-revision | confirm-removal` named. */
export interface Confirmations {
  readonly accepted: string | null;
  readonly removal: string | null;
}

const folder = "refs/wharfinger";

export const refs = {
  /** The last published commit: keeps it from being collected when history is rewritten, and remembers it when the database is lost. */
  published: `${folder}/published`,
  accepted: `${folder}/accept`,
  removal: `${folder}/confirm`,
  /** The remote's branch, as last fetched. */
  fetched: `${folder}/remote`,
} as const;

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
    return { accepted: this.#commits.get(refs.accepted) ?? null, removal: this.#commits.get(refs.removal) ?? null };
  }

  async read(): Promise<void> {
    const output = await this.#git.run(["for-each-ref", "--format=%(refname) %(objectname)", this.#branch, folder]);
    const lines = output.toString("utf8").trim().split("\n");
    this.#commits = new Map(lines.map((line) => line.split(" ") as [string, string]));
  }

  async set(name: Exclude<keyof typeof refs, "fetched">, commit: string): Promise<void> {
    await this.#git.run(["update-ref", refs[name], commit]);
    this.#commits = new Map([...this.#commits, [refs[name], commit]]);
  }

  async remove(name: Exclude<keyof typeof refs, "fetched">): Promise<void> {
    await this.#git.run(["update-ref", "-d", refs[name]]);
    this.#commits = new Map([...this.#commits].filter(([known]) => known !== refs[name]));
  }
}
