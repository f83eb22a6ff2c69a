// Small real images, made by crane, that differ by what is in them.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Digest } from "../../src/domain/digest.ts";
import { program, use } from "./programs.ts";

export interface ImageOptions {
  /** host:port/repository:tag */
  readonly reference: string;
  /** What the one file of the layer says: two contents, two digests. */
  readonly content: string;
  /** Bytes of noise in a second layer. */
  readonly noise?: number;
  readonly platform?: string;
}

/** Pushes a single-platform OCI image. Resolves with its digest. */
export async function pushImage(options: ImageOptions): Promise<Digest> {
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-image-"));
  try {
    const layers = [await layer(folder, "content", options.content)];
    if (options.noise !== undefined) layers.push(await layer(folder, "noise", randomText(options.noise)));
    const platform = options.platform === undefined ? [] : ["--platform", options.platform];
    const pushed = await use("crane", [
      ...platform,
      "append",
      "--insecure",
      "--oci-empty-base",
      ...layers.flatMap((file) => ["-f", file]),
      "-t",
      options.reference,
    ]);
    const digest = pushed.slice(pushed.lastIndexOf("@") + 1) as Digest;
    if (options.platform === undefined) return digest;
    const [os, architecture] = options.platform.split("/");
    return (
      await use("crane", ["mutate", "--insecure", "--set-platform", `${os}/${architecture}`, "-t", options.reference, options.reference])
    )
      .split("@")
      .at(-1) as Digest;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Pushes an index of one image for each platform. Resolves with the digest of the index and of its children. */
export async function pushIndex(options: {
  reference: string;
  content: string;
  platforms: readonly string[];
}): Promise<{ digest: Digest; children: Record<string, Digest> }> {
  const [repository = ""] = options.reference.split(/:(?=[^/]*$)/);
  const children: Record<string, Digest> = {};
  for (const platform of options.platforms) {
    const reference = `${repository}:part-${platform.replaceAll("/", "-")}`;
    children[platform] = await pushImage({ reference, content: `${options.content} for ${platform}`, platform });
  }
  const parts = Object.values(children).flatMap((digest) => ["-m", `${repository}@${digest}`]);
  const pushed = await use("crane", ["index", "append", "--insecure", ...parts, "-t", options.reference]);
  return { digest: pushed.slice(pushed.lastIndexOf("@") + 1) as Digest, children };
}

async function layer(folder: string, name: string, text: string): Promise<string> {
  await writeFile(join(folder, name), text);
  const archive = join(folder, `${name}.tar`);
  const made = await program("tar", ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "-C", folder, "-cf", archive, name]);
  if (made.code !== 0) throw new Error(made.stderr);
  return archive;
}

function randomText(bytes: number): string {
  let text = "";
  while (text.length < bytes) text += Math.random().toString(36).slice(2);
  return text.slice(0, bytes);
}
