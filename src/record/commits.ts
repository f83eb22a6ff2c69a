// Writing commits: a batch is one `git fast-import` and one compare-and-swap of the branch. It never touches the index or the work tree,
// so a person's uncommitted changes are in nobody's way.

import { trailers as names } from "../api/conditions.ts";
import { RecordError } from "./errors.ts";
import type { Author, Git } from "./git.ts";
import type { Signing } from "./signing.ts";

export interface PlannedCommit {
  readonly subject: string;
  /** Paragraphs and lists, without the trailers. */
  readonly body: string;
  readonly trailers: readonly (readonly [name: string, value: string])[];
  /** `content` null removes the file; no files: an empty commit. */
  readonly files: readonly { readonly path: string; readonly content: string | null }[];
}

/** Where the new commits wait until the branch takes them; overwritten by the next batch. */
const waitingRef = "refs/wharfinger/next";

export interface WriteOptions {
  /** Null: they are the first ones. */
  readonly parent: string | null;
  readonly author: Author;
  readonly now: Date;
  /** Of the repository; "": its root. */
  readonly folder: string;
  readonly signing?: Signing | undefined;
}

/** Writes the commits, oldest first, without moving any branch. Returns their ids. Rejects with RecordError GitFailed, SigningFailed. */
export async function writeCommits(git: Git, commits: readonly PlannedCommit[], options: WriteOptions): Promise<readonly string[]> {
  const { folder, signing } = options;
  // A key that is not there is said before anything is written.
  await signing?.call();
  const { name, email, date } = identityOf(options);
  const stamp = `${name} <${email}> ${date}`;
  const stream = ["feature done\n"];
  commits.forEach((commit, index) => {
    stream.push(`commit ${waitingRef}\nmark :${index + 1}\nauthor ${stamp}\ncommitter ${stamp}\n`, data(message(commit, folder)));
    if (index > 0) stream.push(`from :${index}\n`);
    else if (options.parent !== null) stream.push(`from ${options.parent}\n`);
    for (const file of commit.files) {
      const path = folder === "" ? file.path : `${folder}/${file.path}`;
      stream.push(file.content === null ? `D ${path}\n` : `M 100644 inline ${path}\n${data(file.content)}`);
    }
    stream.push(`get-mark :${index + 1}\n`);
  });
  stream.push("done\n");
  // Without a parent the branch would be continued from what waits there.
  if (options.parent === null) await git.try(["update-ref", "-d", waitingRef]);
  const output = await git.run(["fast-import", "--quiet", "--done", "--force"], { input: stream.join("") });
  const ids = output.toString("utf8").trim().split("\n");
  return signing === undefined ? ids : sign(git, ids, commits, { ...options, signing });
}

/** The same commits with signatures, which fast-import cannot make. */
async function sign(
  git: Git,
  ids: readonly string[],
  commits: readonly PlannedCommit[],
  { signing, parent, folder, ...options }: WriteOptions & { readonly signing: Signing },
): Promise<readonly string[]> {
  const { name, email, date } = identityOf(options);
  const roles = ["AUTHOR", "COMMITTER"].flatMap((role) => [
    [`GIT_${role}_NAME`, name],
    [`GIT_${role}_EMAIL`, email],
    [`GIT_${role}_DATE`, date],
  ]);
  const signed: string[] = [];
  for (const [index, commit] of commits.entries()) {
    const before = signed.at(-1) ?? parent;
    const { configuration, env } = await signing.call();
    const answer = await git.try(
      ["commit-tree", "--gpg-sign", ...(before === null ? [] : ["-p", before]), "-F", "-", `${ids[index]}^{tree}`],
      {
        input: message(commit, folder),
        configuration,
        env: { ...env, ...Object.fromEntries(roles) },
      },
    );
    if (answer.code !== 0) throw signing.refusal(answer.stderr.trim().split("\n")[0] ?? `git ended with ${answer.code}`);
    signed.push(answer.stdout.toString("utf8").trim());
  }
  return signed;
}

function identityOf({ author, now }: Pick<WriteOptions, "author" | "now">): { name: string; email: string; date: string } {
  return { name: clean(author.name), email: clean(author.email), date: `${Math.floor(now.getTime() / 1000)} +0000` };
}

/** Moves the branch from `from` to `to`. Rejects with RecordError Moved when it is not at `from`: somebody committed. */
export async function moveBranch(git: Git, branch: string, { from, to }: { from: string | null; to: string }): Promise<void> {
  const ref = `refs/heads/${branch}`;
  const answer = await git.try(["update-ref", "-m", "wharfinger", ref, to, from ?? "0".repeat(to.length)]);
  if (answer.code === 0) return;
  if ((await readRef(git, ref)) !== from) throw new RecordError("Moved", "Somebody committed to the record in the meantime");
  throw new RecordError("GitFailed", `git update-ref: ${answer.stderr.trim()}`);
}

/** The object that a reference names, null when it does not exist. */
export async function readRef(git: Git, ref: string): Promise<string | null> {
  const answer = await git.try(["rev-parse", "--verify", "--quiet", "--end-of-options", ref]);
  const id = answer.stdout.toString("utf8").trim();
  return answer.code === 0 && id !== "" ? id : null;
}

function message(commit: PlannedCommit, folder: string): string {
  // Of two records on one branch each remembers only what was written for it.
  const place = folder === "" ? [] : [[names.folder, folder] as const];
  const trailers = [...commit.trailers, ...place].map(([name, value]) => `${name}: ${clean(value)}`).join("\n");
  return `${[clean(commit.subject), bodyOf(commit), trailers].filter((part) => part !== "").join("\n\n")}\n`;
}

/** Git reads no trailers below a line that `git commit --verbose` cuts a message at, be it in a stranger's words: then what is above it would be ours. */
function bodyOf({ body }: PlannedCommit): string {
  return body.trim().replaceAll(/^(?=.*-{8} >8 -{8})/gm, "  ");
}

function data(text: string): string {
  return `data ${Buffer.byteLength(text)}\n${text}\n`;
}

/** Nothing that a header line or a trailer would end at. */
function clean(text: string): string {
  return text.replaceAll(/[\u0000-\u001f\u007f<>]+/g, (found) => (/[<>]/.test(found) ? "" : " ")).trim();
}
