// What is in an image, read from its OCI archive: no engine, so that it can be of another platform.

import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { program } from "./programs.ts";

export interface ImageEntry {
  /** From the root, without a slash at either end. */
  readonly path: string;
  /** As `ls -l` writes it: `-rwxr-xr-x`. */
  readonly mode: string;
  /** `uid/gid` */
  readonly owner: string;
}

export interface ImageTree {
  /** Of all layers; none of ours removes or replaces what a lower one has. */
  readonly entries: readonly ImageEntry[];
  readonly config: { readonly architecture: string; readonly config: Readonly<Record<string, unknown>> };
  file(path: string): Promise<Buffer>;
  remove(): Promise<void>;
}

interface Manifest {
  readonly config: { readonly digest: string };
  readonly layers: readonly { readonly digest: string }[];
}
interface Index {
  readonly manifests: readonly {
    readonly digest: string;
    readonly mediaType: string;
    readonly platform?: { readonly architecture: string };
  }[];
}

/** `architecture`: of an archive with several platforms. */
export async function openImage(archive: string, architecture?: string): Promise<ImageTree> {
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-image-"));
  const blob = (digest: string) => join(folder, "blobs", digest.replace(":", "/"));
  const read = async (file: string): Promise<unknown> => JSON.parse(await readFile(file, "utf8"));
  await tar("--extract", "--file", archive, "--directory", folder);
  let [found] = ((await read(join(folder, "index.json"))) as Index).manifests;
  if (found?.mediaType.endsWith("index.v1+json") === true)
    found = ((await read(blob(found.digest))) as Index).manifests.find(({ platform }) => platform?.architecture === architecture);
  if (found === undefined) throw new Error(`${archive} has no image for ${architecture}`);
  const manifest = (await read(blob(found.digest))) as Manifest;
  const config = (await read(blob(manifest.config.digest))) as ImageTree["config"];
  const layers = manifest.layers.map(({ digest }) => blob(digest));
  const files = join(folder, "files");
  await mkdir(files);
  for (const layer of layers) await tar("--extract", "--file", layer, "--directory", files);
  return {
    entries: (await Promise.all(layers.map(listed))).flat(),
    config,
    file: (path) => readFile(join(files, path)),
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

async function listed(layer: string): Promise<ImageEntry[]> {
  const lines = (await tar("--list", "--verbose", "--numeric-owner", "--quoting-style=literal", "--file", layer)).trim().split("\n");
  return lines.map((line) => {
    const [, mode = "", owner = "", path = ""] = /^(\S+) (\S+) +\d+ \S+ \S+ (.*)$/.exec(line) ?? [];
    return { path: path.replace(/ (->|link to) .*$/, "").replace(/\/$/, ""), mode, owner };
  });
}

async function tar(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await program("tar", args);
  if (code !== 0) throw new Error(`tar ${args.join(" ")} ended with ${code}: ${stderr}`);
  return stdout;
}
