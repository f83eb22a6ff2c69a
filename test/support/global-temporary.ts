// Folders of what tests start go with the run: a worker of the tests is ended without its exit event, and would leave them.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const variable = "WHARFINGER_TEST_TEMPORARY";

export default function setup(): void {
  const folder = mkdtempSync(join(tmpdir(), "wharfinger-test-"));
  process.env[variable] = folder;
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
}

/** Where such a folder is made; outside of a run the machine's place for temporary files. */
export const temporaryFolder = (): string => process.env[variable] ?? tmpdir();
