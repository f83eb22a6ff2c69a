// The image of this checkout, as Dockerfile says, built without Docker (image/build.mjs) once for what goes into it.

import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";

import { onPath } from "./executables.ts";
import { installPackages } from "./packages.ts";
import { tool } from "./tools.ts";

export interface BuiltImage {
  /** An OCI archive: `ctr images import`, `skopeo copy oci-archive:…`. */
  readonly archive: string;
  /** Its name in the archive: host, repository and a tag of its own for each content. */
  readonly reference: string;
  readonly digest: string;
}

export interface BuildOptions {
  readonly output: string;
  readonly platforms: readonly string[];
  readonly reference: string;
  readonly revision?: string;
  readonly created: number;
  readonly fresh?: boolean;
}

interface Builder {
  readonly workFolder: string;
  readonly ownPlatform: string;
  readonly buildImage: (options: BuildOptions) => Promise<string>;
}

const root = resolve(import.meta.dirname, "../..");
const { workFolder, ownPlatform, buildImage } = (await import(resolve(root, "image/build.mjs"))) as Builder;
const { ensureBuilt } = (await import(resolve(root, "bin/build.mjs"))) as { ensureBuilt: () => Promise<boolean> };

/** Archives of other contents that stay: those of the checkouts that somebody works on. */
const kept = 4;

let building: Promise<BuiltImage> | undefined;

/** For the platform of this machine. Rejects with what is missing, or with the words of what broke above. */
export function sharedImage(): Promise<BuiltImage> {
  building ??= build();
  return building;
}

/** Builds it anew, with nothing of earlier builds. Resolves with its digest. */
export async function freshImage(options: Omit<BuildOptions, "fresh">): Promise<string> {
  await prepare();
  return buildImage({ ...options, fresh: true });
}

async function build(): Promise<BuiltImage> {
  const key = await keyOfContext();
  const folder = join(workFolder, "shared");
  const archive = join(folder, `${key}.tar`);
  const reference = `localhost/wharfinger:${key}`;
  const noted = join(folder, `${key}.digest`);
  if (!existsSync(noted)) {
    await mkdir(folder, { recursive: true });
    await prepare();
    const digest = await buildImage({ output: archive, platforms: [ownPlatform], reference, created: 0 });
    await writeFile(`${noted}.partial`, digest);
    await rename(`${noted}.partial`, noted);
    await removeOld(folder);
  }
  await utimes(noted, new Date(), new Date());
  return { archive, reference, digest: await readFile(noted, "utf8") };
}

async function prepare(): Promise<void> {
  // What is compiled already is not compiled once more in the image's own build.
  if (!(await ensureBuilt())) throw new Error("The program could not be compiled; the compiler's messages are above.");
  await tool("buildah");
  if ((await onPath("mmdebstrap")) === undefined) await installPackages(["mmdebstrap"]);
}

/** Changes with whatever the build reads. */
async function keyOfContext(): Promise<string> {
  const context = (await readFile(join(root, ".dockerignore"), "utf8"))
    .split("\n")
    .filter((line) => line.startsWith("!"))
    .map((line) => line.slice(1))
    .filter((name) => name !== "dist");
  const hash = createHash("sha256").update(process.arch);
  for (const file of (await Promise.all([".dockerignore", "Dockerfile", ...context].map(filesIn))).flat().sort())
    hash.update(`\0${file}\0`).update(await readFile(join(root, file)));
  return hash.digest("hex").slice(0, 20);
}

async function filesIn(name: string): Promise<string[]> {
  const path = join(root, name);
  if (!(await stat(path)).isDirectory()) return [name];
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && !entry.name.endsWith(".test.ts"))
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1));
}

async function removeOld(folder: string): Promise<void> {
  const notes = (await readdir(folder)).filter((name) => name.endsWith(".digest"));
  const dated = await Promise.all(notes.map(async (name) => ({ name, used: (await stat(join(folder, name))).mtimeMs })));
  for (const { name } of dated.sort((a, b) => b.used - a.used).slice(kept)) {
    await rm(join(folder, name));
    await rm(join(folder, name.replace(/\.digest$/, ".tar")));
  }
}
