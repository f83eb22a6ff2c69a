// What people do to a record with git: in its folder, or in a clone of the branch at its host.

import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

import type { BareRepository } from "./git-remote.ts";

/** git as Jane Doe <jane@example.org> runs it, whatever this machine's own configuration says. Returns its stdout without the last newline. */
export function gitAsPerson(cwd: string, ...args: readonly string[]): string {
  const identity = ["-c", "user.name=Jane Doe", "-c", "user.email=jane@example.org", "-c", "advice.detachedHead=false"];
  const env = { ...process.env, GIT_CONFIG_NOSYSTEM: "1", GIT_CONFIG_GLOBAL: "/dev/null" };
  return execFileSync("git", [...identity, ...args], { cwd, encoding: "utf8", stdio: "pipe", env }).trimEnd();
}

const branch = "wharfinger";

export class PersonsClone {
  readonly folder: string;
  readonly #repository: BareRepository;

  /** It is made when it is needed first. */
  constructor(folder: string, repository: BareRepository) {
    this.folder = folder;
    this.#repository = repository;
  }

  /** The clone is brought up to date before, and pushed afterwards, by force where history was rewritten. */
  git(...args: readonly string[]): string {
    const run = (...words: readonly string[]) => gitAsPerson(this.folder, ...words);
    if (existsSync(this.folder)) run("fetch", "-q", "origin");
    else gitAsPerson(dirname(this.folder), "clone", "-q", "-b", branch, this.#repository.path, this.folder);
    if (run("status", "--porcelain") === "") run("reset", "-q", "--hard", `origin/${branch}`);
    const said = run(...args);
    const [mine, theirs] = run("rev-parse", "HEAD", `origin/${branch}`).split("\n");
    if (mine !== theirs) run("push", "-q", "--force", "origin", `HEAD:${branch}`);
    return said;
  }

  /** Changes a file, or makes it, and pushes that. */
  edit(path: string, change: (text: string) => string, message: string): void {
    this.git("status");
    const file = join(this.folder, path);
    writeFileSync(file, change(existsSync(file) ? readFileSync(file, "utf8") : ""));
    this.git("add", "--all");
    this.git("commit", "-qm", message);
  }
}
