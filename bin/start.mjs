// `npm start [-- OPTIONS]`: installs and builds what is missing, then `wharfinger serve OPTIONS`.
import { join } from "node:path";

import { ensureBuilt } from "./build.mjs";
import { ensureInstalled } from "./install.mjs";
import { endWithNpm, root, runProgram } from "./node-version.mjs";

endWithNpm();
await ensureInstalled();
if (await ensureBuilt()) await runProgram(join(root, "dist", "cli", "main.js"), ["serve", ...process.argv.slice(2)]);
else process.exitCode = 1;
