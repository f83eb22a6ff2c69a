// `npm test [-- FILTER …]`: everything that can fail, cheapest first, and a plain last line. Plain Node.
import { join } from "node:path";

import { ensureBuilt } from "./build.mjs";
import { ensureInstalled } from "./install.mjs";
import { endWithNpm, modernNode, root, run } from "./node-version.mjs";
import { runTests } from "./vitest.mjs";

const tool = (name) => join(root, "node_modules", name);
const checks = [
  ["typecheck", tool("typescript/bin/tsc"), "-p", "tsconfig.json", "--noEmit"],
  ["lint", tool("oxlint/bin/oxlint"), "--type-aware"],
  ["format (mend it with `npm run format`)", tool("oxfmt/bin/oxfmt"), "--check", "src", "test", "bin", "scripts", "image"],
  ["unused code", tool("knip/bin/knip.js")],
  ["code that only tests use", tool("knip/bin/knip.js"), "--production"],
];

// Whatever happens, the last line says how it ended.
let passed = 0;
let failed = 1;
process.on("exit", () => process.stdout.write(`\n${passed} passed, ${failed} failed\n`));

endWithNpm();
await ensureInstalled();
const node = modernNode();

const broken = [];
for (const [name, ...command] of checks) if (!(await step(name, () => run(node, command, { cwd: root })))) broken.push(name);
const checked = !broken.includes("typecheck");
if (!(await step("build", async () => ((await ensureBuilt({ checked })) ? 0 : 1)))) broken.push("build");

if (broken.length > 0) {
  process.stdout.write(`\nNot run: the tests, because these failed: ${broken.join(", ")}.\n`);
  failed = broken.length;
  process.exitCode = 1;
} else {
  const result = await runTests(process.argv.slice(2));
  ({ passed, failed } = result);
  process.exitCode = result.code;
}

async function step(name, work) {
  const started = Date.now();
  const code = await work();
  process.stdout.write(`${code === 0 ? "✓" : "✗"} ${name} (${((Date.now() - started) / 1000).toFixed(1)} s)\n`);
  return code === 0;
}
