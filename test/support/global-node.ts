// One real node for the whole run (./node/shared-node.ts). Programs that only a node needs are built and installed before the first test: that takes
// longer than a test may.

import type { TestProject } from "vitest/node";

import { startNode, type NodePlace } from "./node/node.ts";
import { pushProduct, type ProductImage } from "./node/product-image.ts";
import { requireNode } from "./node/requirements.ts";
import { ensureNodeTools } from "./tools.ts";

declare module "vitest" {
  interface ProvidedContext {
    node: NodePlace;
    product: ProductImage;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  await requireNode();
  await ensureNodeTools();
  const node = await startNode();
  try {
    project.provide("node", node.place);
    project.provide("product", await pushProduct(node.images));
  } catch (error) {
    await node.stop();
    throw error;
  }
  return () => node.stop();
}
