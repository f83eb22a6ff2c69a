// `npm run test:e2e [-- FILTER …]`: what needs a real node, and a plain last line. Plain Node.
import { ensureInstalled } from "./install.mjs";
import { endWithNpm } from "./node-version.mjs";
import { runTests } from "./vitest.mjs";

// Whatever happens, the last line says how it ended.
let passed = 0;
let failed = 1;
process.on("exit", () => process.stdout.write(`\n${passed} passed, ${failed} failed\n`));

endWithNpm();
await ensureInstalled();
const result = await runTests(["--config", "vitest.e2e.config.ts", ...process.argv.slice(2)]);
({ passed, failed } = result);
process.exitCode = result.code;
