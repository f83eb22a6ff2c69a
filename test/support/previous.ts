// The version before this one, from the repository's own history: `test/previous/commit` names the commit that closed the issue before.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdtemp, readFile, realpath, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { program } from "./programs.ts";

const repository = resolve(import.meta.dirname, "../..");
/** The environment variable that names its sources where there is no history. */
const elsewhere = "WHARFINGER_TEST_PREVIOUS";
/** What a registry of it needs, and this version may have changed, and the documents of its resources. */
const parts = ["src", "package.json", "crds", "test/documents"];

export interface PreviousVersion {
  /** Where its sources are. */
  readonly folder: string;
  /** Starts its registry, as a process. Resolves with the address and how to stop it in order. */
  serve(options: { databaseUrl: string; folder: string; gc: object }): Promise<{ readonly url: string; stop(): Promise<number> }>;
  remove(): Promise<void>;
}

/** Its sources in a folder of their own, with the dependencies of this version, which has all of them. */
export async function previousVersion(): Promise<PreviousVersion> {
  const commit = (await readFile(join(repository, "test/previous/commit"), "utf8")).trim();
  const source = await mkdtemp(join(tmpdir(), "wharfinger-previous-"));
  const given = process.env[elsewhere];
  if (given === undefined) await unpack(commit, source, repository);
  else for (const part of parts) await cp(join(given, part), join(source, part), { recursive: true });
  await symlink(join(repository, "node_modules"), join(source, "node_modules"));
  return {
    folder: source,
    serve: async ({ databaseUrl, folder, gc }) => {
      const script = join(repository, "test/previous/serve.ts");
      const child = spawn(process.execPath, [script, source, databaseUrl, folder, JSON.stringify(gc)], {
        stdio: ["ignore", "pipe", "pipe"],
      });
      let said = "";
      child.stderr.setEncoding("utf8").on("data", (text: string) => (said = (said + text).slice(-4000)));
      const ended = once(child, "exit");
      const url = await new Promise<string>((ready, reject) => {
        void ended.then(() => reject(new Error(`the version before ended: ${said}`)));
        child.stdout.setEncoding("utf8").on("data", (text: string) => {
          said = (said + text).slice(-4000);
          const [, found] = /^ready (\S+)$/m.exec(said) ?? [];
          if (found !== undefined) ready(found);
        });
      });
      return {
        url,
        stop: async () => {
          child.kill("SIGTERM");
          const [code] = (await ended) as [number | null];
          if (code !== 0) throw new Error(`the version before ended with ${code}: ${said}`);
          return code;
        },
      };
    },
    remove: () => rm(source, { recursive: true, force: true }),
  };
}

/** The sources of `commit` from a clone of this project, which may be without its history, in `folder`. Rejects with what to do. */
export async function unpack(commit: string, folder: string, clone: string): Promise<void> {
  const git = (...args: string[]) => program("git", ["-C", clone, ...args]);
  const orElse = `or set ${elsewhere} to a folder with the sources of that commit`;
  const top = await git("rev-parse", "--show-toplevel");
  // A folder of another repository is none of ours.
  if (top.code !== 0 || (await realpath(top.stdout.trim())) !== (await realpath(clone))) {
    throw new Error(
      `The version before (${commit}, test/previous/commit) comes from the project's history, and ${clone} is not a clone of it${reason(top.stderr)}. Run the tests in one (\`git clone --depth 1\` is enough), ${orElse}.`,
    );
  }
  if ((await git("cat-file", "-e", `${commit}^{commit}`)).code !== 0) {
    // A shallow clone has its newest commits only.
    const fetched = await git("fetch", "--quiet", "--depth", "1", "origin", commit);
    if (fetched.code !== 0) {
      throw new Error(
        `The version before (${commit}, test/previous/commit) is not in this clone, and its origin does not give that commit alone${reason(fetched.stderr)}. Get the history (\`git fetch --unshallow\`, from a repository that has it), ${orElse}.`,
      );
    }
  }
  const archive = join(folder, "source.tar");
  for (const { code, stderr } of [
    await git("archive", "--format=tar", "-o", archive, commit, ...parts),
    await program("tar", ["-xf", archive, "-C", folder]),
  ])
    if (code !== 0) throw new Error(`The version before (${commit}) cannot be unpacked${reason(stderr)}.`);
  await rm(archive);
}

function reason(stderr: string): string {
  const said = stderr.trim();
  return said === "" ? "" : ` (${said})`;
}
