// Which repositories of the source are meant, and what they are called here.

import { compileGlobs, isGlob } from "../domain/glob.ts";
import { isRepositoryName } from "../domain/reference.ts";

export interface Rename {
  /** A repository, or everything below a path. */
  readonly from: string;
  readonly to: string;
}

export interface NameOptions {
  /** Names and globs; empty: all. */
  readonly repositories: readonly string[];
  /** Before every name that no rename touches; empty, or with a slash at its end. */
  readonly prefix: string;
  readonly renames: readonly Rename[];
}

/** The names, where the source need not be asked for them; undefined as soon as one is a glob. */
export function explicitNames({ repositories }: NameOptions): readonly string[] | undefined {
  return repositories.length > 0 && repositories.every((name) => !name.includes("*")) ? [...new Set(repositories)] : undefined;
}

export function selects({ repositories }: NameOptions): (name: string) => boolean {
  return repositories.length === 0 ? () => true : compileGlobs(repositories);
}

/** What `name` of the source is called here. The rename with the longest `from` counts. */
export function nameHere(name: string, { prefix, renames }: NameOptions): string {
  const fitting = renames.filter(({ from }) => name === from || name.startsWith(`${from}/`));
  const rename = fitting.sort((a, b) => b.from.length - a.from.length)[0];
  return rename === undefined ? `${prefix}${name}` : `${rename.to}${name.slice(rename.from.length)}`;
}

/** Throws an Error that says how to write it. */
export function parseRename(text: string): Rename {
  const [from = "", to = "", ...more] = text.split("=");
  if (more.length > 0 || !isRepositoryName(from) || !isRepositoryName(to))
    throw new Error("Write old=new, both names of repositories or of their first segments, for example library=team-a/library.");
  return { from, to };
}

/** With a slash at its end. Throws an Error that says how to write it. */
export function parsePrefix(text: string): string {
  const bare = text.replace(/\/$/, "");
  if (!isRepositoryName(bare)) throw new Error("Write the first segments of a repository name, for example old/.");
  return `${bare}/`;
}

/** Throws an Error that says how to write it. */
export function parseSelection(text: string): string {
  if (isGlob(text)) return text;
  throw new Error("Write a repository, or a glob over names: team-a/app, team-a/**, */nginx.");
}
