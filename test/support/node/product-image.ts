// The image of this tree, where a node can pull it.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { sharedImage } from "../image.ts";
import { program, use } from "../programs.ts";

/** As `image` of the chart's values; its tag is the digest with a dash. */
export interface ProductImage {
  readonly repository: string;
  readonly digest: string;
}

/** Pushes it to a registry, host:port. */
export async function pushProduct(registry: string): Promise<ProductImage> {
  const { archive, digest } = await sharedImage();
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-product-"));
  try {
    const { code, stderr } = await program("tar", ["-C", folder, "-xf", archive]);
    if (code !== 0) throw new Error(stderr);
    const repository = `${registry}/wharfinger/wharfinger`;
    await use("crane", ["push", "--insecure", folder, `${repository}:${digest.replace(":", "-")}`]);
    return { repository, digest };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
