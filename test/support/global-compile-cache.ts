// A run of the tests starts this program and its own workers hundreds of times: what is compiled once is there for the next. (Who starts it once has
// nothing of it: docs/adr/0008-no-compile-cache.md.)

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export default function setup(): void {
  const folder = mkdtempSync(join(tmpdir(), "wharfinger-test-compiled-"));
  // Workers, and what they start, inherit it; they write into it until they end.
  process.env["NODE_COMPILE_CACHE"] = folder;
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
}
