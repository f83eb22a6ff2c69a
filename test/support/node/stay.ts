// A node to look at, with the image of this checkout: `node bin/with-node.mjs test/support/node/stay.ts`. It stays until Ctrl-C, and says how it is
// reached, also by `npm run test:e2e` as a cluster that somebody gave.

import { once } from "node:events";

import { ensureNodeTools } from "../tools.ts";
import { startNode } from "./node.ts";
import { pushProduct } from "./product-image.ts";

await ensureNodeTools();
const node = await startNode();
try {
  const { repository, digest } = await pushProduct(node.images);
  process.stdout.write(`export KUBECONFIG=${node.api.kubeconfig}
export WHARFINGER_TEST_KUBECONFIG=$KUBECONFIG
export WHARFINGER_TEST_IMAGE=${repository}@${digest}
export WHARFINGER_TEST_ADDRESS=${node.addresses.machine}
`);
  await Promise.race(["SIGINT", "SIGTERM"].map((name) => once(process, name)));
} finally {
  await node.stop();
}
