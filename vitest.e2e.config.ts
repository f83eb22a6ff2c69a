// `npm run test:e2e`: what needs a real node (root, containerd, a quarter of an hour for programs that are built once), apart from `npm test`.

import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    globalSetup: ["test/support/global-compile-cache.ts", "test/support/global-node.ts"],
    setupFiles: ["test/support/keep-compiled.ts"],
    include: ["test/node/**/*.test.ts"],
    // They share a node, and some take all of it.
    fileParallelism: false,
    // Limits for what hangs, not for a machine that has much to do.
    testTimeout: 600_000,
    hookTimeout: 600_000,
    passWithNoTests: false,
  },
});
