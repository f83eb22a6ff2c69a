import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    projects: [
      {
        extends: true,
        test: { name: "unit", include: ["src/**/*.test.ts", "test/*.test.ts"] },
      },
      {
        extends: true,
        test: {
          name: "integration",
          globalSetup: ["test/support/global-tools.ts"],
          include: ["test/{integration,conformance}/**/*.test.ts"],
          testTimeout: 60_000,
          hookTimeout: 120_000,
        },
      },
      {
        extends: true,
        test: {
          name: "e2e",
          globalSetup: ["test/support/global-tools.ts"],
          include: ["test/e2e/**/*.test.ts"],
          testTimeout: 600_000,
          hookTimeout: 600_000,
        },
      },
    ],
    globalSetup: ["test/support/global-postgres.ts"],
    testTimeout: 20_000,
    // What comes by itself comes late on a busy machine.
    expect: { poll: { timeout: 15_000 } },
    hookTimeout: 60_000,
    passWithNoTests: false,
  },
});
