// The run's own node, for tests that leave it as it was.

import { inject } from "vitest";

import { openNode, type NodeAccess } from "./node.ts";
import type { ProductImage } from "./product-image.ts";

export const sharedNode = (): Promise<NodeAccess> => openNode(inject("node"));

/** The image of this tree, which the node can pull. */
export const sharedProduct = (): ProductImage => inject("product");
