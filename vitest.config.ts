import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { resolve } from "node:path";

import { defineConfig } from "vitest/config";

/**
 * Files of all projects together: a third of their time they wait (for disks, clocks, other processes), so that two more than there are
 * processors keep these busy. More than four at once would need more connections to PostgreSQL.
 */
const files = Math.min(4, availableParallelism() + 2);

/** What needs an S3 service, and what must hold on a bucket as it does on a folder: these run once more there. */
const ofBuckets = ["src/registry/blobs/s3-*.test.ts", existing("src/registry/services/push/store-away.test.ts")];
const onBothStores = [
  "push/upload-sessions",
  "push/upload-pods",
  "push/push",
  "deletion/collect",
  "deletion/collect-rounds",
  "deletion/sweep",
  "deletion/brake",
  "upkeep/marker",
  "upkeep/snapshots",
  "upkeep/adopt",
].map((name) => existing(`src/registry/services/${name}.test.ts`));

/** A file that is moved, and not here, would be run no more, and nobody would hear of it. */
function existing(path: string): string {
  if (!existsSync(resolve(import.meta.dirname, path))) throw new Error(`vitest.config.ts names ${path}, which is not there.`);
  return path;
}

/*
 * `isolate: false`: a worker keeps the program from file to file, for to load the registry takes most of a second of processor each time. It holds
 * because no module of src/ keeps anything that a test could change: state is in objects, and a test that takes the clock gives it back.
 */
export default defineConfig({
  // Code that a test runs in its own process can be stopped at its failpoints; processes that it starts are as they are everywhere.
  resolve: { alias: { "#failpoints": resolve(import.meta.dirname, "src/failpoints/armed.ts") } },
  test: {
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          maxWorkers: files,
          isolate: false,
          include: ["src/**/*.test.ts", "test/*.test.ts"],
          exclude: ofBuckets,
        },
      },
      {
        extends: true,
        test: {
          name: "s3",
          maxWorkers: files,
          isolate: false,
          globalSetup: ["test/support/global-s3.ts"],
          provide: { blobStore: "s3" },
          include: [...ofBuckets, ...onBothStores],
        },
      },
      {
        extends: true,
        test: {
          name: "integration",
          maxWorkers: files,
          globalSetup: ["test/support/global-tools.ts"],
          include: ["test/{integration,conformance}/**/*.test.ts"],
          // A limit for what hangs, not for a machine that has much to do.
          testTimeout: 300_000,
          hookTimeout: 300_000,
        },
      },
      {
        extends: true,
        test: {
          name: "kubernetes",
          maxWorkers: files,
          globalSetup: ["test/support/global-tools.ts", "test/support/global-kubernetes.ts"],
          include: ["test/kubernetes/**/*.test.ts"],
          testTimeout: 300_000,
          hookTimeout: 300_000,
        },
      },
      {
        extends: true,
        test: {
          name: "e2e",
          maxWorkers: files,
          globalSetup: ["test/support/global-tools.ts"],
          include: ["test/e2e/**/*.test.ts"],
          testTimeout: 600_000,
          hookTimeout: 600_000,
        },
      },
    ],
    setupFiles: ["test/support/keep-compiled.ts"],
    globalSetup: ["test/support/global-temporary.ts", "test/support/global-compile-cache.ts", "test/support/global-postgres.ts"],
    // Limits for what hangs: what comes by itself comes late on a busy machine.
    testTimeout: 120_000,
    expect: { poll: { timeout: 60_000 } },
    hookTimeout: 120_000,
    passWithNoTests: false,
  },
});
