// `npm run test:e2e`: what needs a real node (root, containerd, a quarter of an hour for programs that are built once), apart from `npm test`.

import { defineConfig } from "vitest/config";

import { forGivenCluster, isGiven } from "./test/support/node/given-files.ts";

const files = isGiven() ? forGivenCluster.map((name) => `test/node/${name}.test.ts`) : ["test/node/**/*.test.ts"];

export default defineConfig({
  test: {
    globalSetup: ["test/support/global-compile-cache.ts", isGiven() ? "test/support/global-given-cluster.ts" : "test/support/global-node.ts"],
    setupFiles: ["test/support/keep-compiled.ts"],
    include: files,
    // They share a node, and some take all of it.
    fileParallelism: false,
    // Limits for what hangs, not for a machine that has much to do.
    testTimeout: 600_000,
    hookTimeout: 600_000,
    passWithNoTests: false,
  },
});
