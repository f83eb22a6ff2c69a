// `npm run test:e2e:kind`: deploy/kind/README.md with Docker and kind (bin/test-kind.mjs looks for both), apart from every other run.

import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/kind/**/*.test.ts"],
    // Limits for what hangs: the node's image is pulled and a cluster made.
    testTimeout: 900_000,
    hookTimeout: 900_000,
    passWithNoTests: false,
  },
});
