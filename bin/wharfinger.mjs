#!/usr/bin/env node
// `npx wharfinger …`: the program as it was built. The same file under the name kubectl-wharfinger is `kubectl wharfinger …`.
import { existsSync } from "node:fs";
import { basename, join } from "node:path";

import { endWithNpm, root, runProgram } from "./node-version.mjs";

const program = join(root, "dist", "cli", "main.js");
if (existsSync(program)) {
  if (basename(process.argv[1]).startsWith("kubectl-wharfinger")) process.env.WHARFINGER_KUBECTL_PLUGIN = "true";
  endWithNpm();
  await runProgram(program, process.argv.slice(2));
} else {
  process.stderr.write("Wharfinger is not built yet. Run `npm run build` (or `npm start`, which builds and serves) in its folder first.\n");
  process.exitCode = 1;
}
