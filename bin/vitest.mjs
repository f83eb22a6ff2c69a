// Vitest's runs for the test commands, counted for their plain last line. Plain Node.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { modernNode, root, run } from "./node-version.mjs";

/** Runs Vitest with these arguments to its end. Resolves with how many tests passed and failed, and its exit code. */
export async function runTests(args) {
  const folder = mkdtempSync(join(tmpdir(), "wharfinger-test-report-"));
  const report = join(folder, "report.json");
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  const vitest = join(root, "node_modules/vitest/vitest.mjs");
  const code = await run(modernNode(), [vitest, "run", ...reporters, ...args], { cwd: root });
  const counted = count(report);
  rmSync(folder, { recursive: true, force: true });
  // A run may also fail outside of its tests (an unhandled rejection, a file that does not load, a setup): then it is not green either.
  const failed = counted.failed === 0 && code !== 0 ? 1 : counted.failed;
  return { passed: counted.passed, failed, code: failed === 0 ? 0 : code || 1 };
}

function count(report) {
  try {
    const { numPassedTests, numFailedTests, testResults } = JSON.parse(readFileSync(report, "utf8"));
    const unloadable = testResults.filter(({ status, assertionResults }) => status === "failed" && assertionResults.length === 0);
    return { passed: numPassedTests, failed: numFailedTests + unloadable.length };
  } catch {
    return { passed: 0, failed: 1 };
  }
}
