import { once } from "node:events";
import { resolve } from "node:path";
import { Worker } from "node:worker_threads";

import { expect, test } from "vitest";

const program = resolve(import.meta.dirname, "../../../test/support/many-documents.ts");

test("fifty documents take the memory of one", async () => {
  // All of them at once are 650 MB; a worker that has no more room ends with ERR_WORKER_OUT_OF_MEMORY.
  const worker = new Worker(program, { resourceLimits: { maxOldGenerationSizeMb: 128 } });
  const [version] = (await once(worker, "message")) as [string];
  expect(version).toBe("1.2.3");
});
