// Runs a Node program with a Node that is new enough: `node bin/with-node.mjs PROGRAM [ARG ...]`.
import { run, modernNode } from "./node-version.mjs";

process.exitCode = await run(modernNode(), process.argv.slice(2));
