// The program. `wharfinger --help` says what it can.

import { run } from "./program.ts";

// `wharfinger get | head`: the reader has seen enough.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit();
  throw error;
});

process.exitCode = await run(process.argv.slice(2));
