// `npm start [-- OPTIONS]`: installs and builds what is missing, then `wharfinger serve OPTIONS`.
import { join } from "node:path";

import { ensureBuilt } from "./build.mjs";
import { ensureInstalled } from "./install.mjs";
import { endWithNpm, root, runProgram } from "./node-version.mjs";

const options = process.argv.slice(2);
// `npm start --data DIR`: npm keeps `--data` for itself and passes DIR on.
if (options.length > 0 && !options[0].startsWith("-")) {
  process.stderr.write(
    `npm keeps options for itself that do not stand behind \`--\`: npm start -- --data DIR (it passed on: ${options.join(" ")})\n`,
  );
  process.exit(1);
}
endWithNpm();
await ensureInstalled();
if (await ensureBuilt()) await runProgram(join(root, "dist", "cli", "main.js"), ["serve", ...options]);
else process.exitCode = 1;
