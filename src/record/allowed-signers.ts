// Whose commits are followed: those with a good signature by a key of the list (design: record, "One rule").

import { join } from "node:path";

import type { Logger } from "../observability/logger.ts";
import { RecordError, UntrustedCommit } from "./errors.ts";
import type { Git } from "./git.ts";
import { PrivateFolder } from "./private-folder.ts";

export interface BranchToJudge {
  /** Null: it has no commit. */
  readonly head: string | null;
  /** Commits that are trusted with all that is below them, whoever signed it. */
  readonly trusted: readonly string[];
}

/** %G? G: a good signature by a listed key that was valid at the commit's date; U: good, by another key; N: none. */
const format = ["%H", "%G?", "%GF", "%an <%ae>"].join("%x00");
const fields = 4;
/** Milliseconds: a commit takes tens of them, and a first start may make thousands of commits. */
const patience = 30 * 60_000;

export class AllowedSigners {
  readonly #lines: readonly string[];
  readonly #folder = new PrivateFolder();
  readonly #logger: Logger;
  /** What was judged last: git starts two processes for each commit. */
  #judged = "";
  #problem: UntrustedCommit | undefined;

  /** `lines`: of an ALLOWED SIGNERS file (ssh-keygen). */
  constructor(lines: readonly string[], logger: Logger) {
    this.#lines = lines;
    this.#logger = logger;
  }

  /** Why the branch is not followed to where it is, as last judged. */
  get problem(): UntrustedCommit | undefined {
    return this.#problem;
  }

  /** Whether the branch may be followed. Where nothing is trusted yet its newest commit vouches for those below it: their ids are in what was signed. */
  async allow(git: Git, { head, trusted }: BranchToJudge): Promise<boolean> {
    const judged = [head, ...trusted].join(" ");
    if (judged === this.#judged) return this.#problem === undefined;
    const before = this.#problem?.message;
    const range = trusted.length === 0 ? ["--no-walk"] : [];
    const why =
      head === null || trusted.includes(head)
        ? undefined
        : await this.doubt(git, [...range, "--end-of-options", head, ...trusted.map((commit) => `^${commit}`)]);
    this.#problem = head === null || why === undefined ? undefined : new UntrustedCommit(why, head);
    this.#judged = judged;
    if (this.#problem !== undefined && this.#problem.message !== before)
      this.#logger.error(`the record is not followed: ${this.#problem.message}`);
    return this.#problem === undefined;
  }

  /** Why the first of these commits (arguments of `git log`) that is not to be followed is not; undefined: all are. Rejects with RecordError GitFailed. */
  async doubt(git: Git, commits: readonly string[]): Promise<string | undefined> {
    const output = await git.run(["log", "-z", "--topo-order", "--reverse", `--format=${format}`, ...commits], {
      timeout: patience,
      configuration: await this.configuration(),
    });
    const values = output.toString("utf8").split("\0");
    for (let at = 0; at + fields <= values.length; at += fields) {
      const [id = "", verdict = "", key = "", author = ""] = values.slice(at, at + fields);
      if (verdict !== "G") return `commit ${id} by ${author} ${described(verdict, key)}`;
    }
    return undefined;
  }

  /** Our own commits, before anybody sees them: everybody who follows this record by the same list would refuse them. Rejects with RecordError SigningFailed. */
  async judgeOwn(git: Git, ids: readonly string[]): Promise<void> {
    const doubt = await this.doubt(git, ["--no-walk", "--end-of-options", ...ids]);
    if (doubt === undefined) return;
    throw new RecordError(
      "SigningFailed",
      `the registry's own ${doubt}: nothing is committed. Name the public half of the key of record.signing there`,
    );
  }

  /** With what git judges a commit (%G?) by this list. */
  async configuration(): Promise<readonly string[]> {
    const folder = await this.#folder.write({ "allowed-signers": `${this.#lines.join("\n")}\n` });
    return [
      `gpg.ssh.allowedSignersFile=${join(folder, "allowed-signers")}`,
      "gpg.ssh.program=ssh-keygen",
      // Signatures of other forms are by nobody in the list, and whoever may push is not to choose which program reads them.
      ...["gpg.program", "gpg.openpgp.program", "gpg.x509.program"].map((key) => `${key}=/bin/false`),
    ];
  }

  close(): Promise<void> {
    return this.#folder.close();
  }
}

function described(verdict: string, key: string): string {
  if (verdict === "N") return "is not signed with an SSH key";
  if (verdict === "U") return `is signed with the key ${key}, which record.verify.allowedSigners does not have, or not for its date`;
  return "has no good SSH signature";
}
