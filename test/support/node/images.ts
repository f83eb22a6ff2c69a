// Images that pods really run, made by crane of files of this machine: no image of anybody else is needed.

import { chmod, cp, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import type { Digest } from "../../../src/domain/digest.ts";
import { program, use } from "../programs.ts";

import { requireNode } from "./requirements.ts";

export interface RunnableImage {
  /** host:port/repository:tag */
  readonly reference: string;
  /** Path in the image → file or folder of this machine. */
  readonly files: Readonly<Record<string, string>>;
  /** Path in the image → what it is a symbolic link to. */
  readonly links?: Readonly<Record<string, string>>;
  readonly entrypoint?: readonly string[];
  readonly command?: readonly string[];
}

/** Pushes it for the platform of this machine. Resolves with its digest. */
export async function pushRunnable({ reference, files, links = {}, entrypoint, command }: RunnableImage): Promise<Digest> {
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-runnable-"));
  try {
    const root = join(folder, "root");
    await mkdir(join(root, "etc"), { recursive: true });
    await mkdir(join(root, "tmp"));
    await chmod(join(root, "tmp"), 0o1777);
    await writeFile(join(root, "etc/passwd"), "root:x:0:0::/:/bin/sh\n");
    for (const [path, source] of Object.entries(files)) await cp(source, join(root, path), { recursive: true, dereference: true });
    for (const [path, target] of Object.entries(links)) {
      await mkdir(dirname(join(root, path)), { recursive: true });
      await symlink(target, join(root, path));
    }
    const layer = join(folder, "layer.tar");
    const tar = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "-C", root, "-cf", layer, "."];
    const made = await program("tar", tar);
    if (made.code !== 0) throw new Error(made.stderr);
    await use("crane", ["append", "--insecure", "--oci-empty-base", "-f", layer, "-t", reference]);
    const settings = [
      // An empty base has none, and some runtimes refuse that.
      `--set-platform=linux/${process.arch === "x64" ? "amd64" : process.arch}`,
      ...(entrypoint === undefined ? [] : [`--entrypoint=${entrypoint.join(",")}`]),
      ...(command === undefined ? [] : [`--cmd=${command.join(",")}`]),
    ];
    const pushed = await use("crane", ["mutate", "--insecure", ...settings, "-t", reference, reference]);
    return pushed.slice(pushed.lastIndexOf("@") + 1) as Digest;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A shell with the usual commands. `busybox`: a program that is linked against nothing. */
export async function busyboxImage(reference: string, busybox: string): Promise<RunnableImage> {
  const { stdout } = await program(busybox, ["--list"]);
  const applets = stdout.split("\n").filter((name) => name !== "" && name !== "busybox");
  return {
    reference,
    files: { "bin/busybox": busybox },
    links: Object.fromEntries(applets.map((name) => [`bin/${name}`, "busybox"])),
    command: ["sh"],
  };
}

/** A shell like every other one but for what `/etc/words` says. */
export async function pushShell(reference: string, words: string, command: readonly string[] = ["sh"]): Promise<Digest> {
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-words-"));
  try {
    await writeFile(join(folder, "words"), `${words}\n`);
    const image = await busyboxImage(reference, (await requireNode()).busybox);
    return await pushRunnable({ ...image, command, files: { ...image.files, "etc/words": join(folder, "words") } });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
