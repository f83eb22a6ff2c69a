// `npm run test:e2e:kind`: deploy/kind/README.md on a cluster in Docker, and a plain last line. Plain Node.
import { spawnSync } from "node:child_process";

import { ensureInstalled } from "./install.mjs";
import { endWithNpm } from "./node-version.mjs";
import { runTests } from "./vitest.mjs";

/** What is missing, as a sentence; undefined: nothing. */
function obstacle() {
  const says = (command, ...args) => spawnSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  const docker = says("docker", "info", "--format", "{{.ServerVersion}}");
  if (docker.error !== undefined)
    return "Docker is missing, in which kind runs its nodes: install it (https://docs.docker.com/engine/install) and run this again.";
  if (docker.status !== 0 || docker.stdout.trim() === "")
    return `Docker does not answer (${docker.stderr.trim().split("\n").at(-1)}): start it, or say where it is in DOCKER_HOST, and run this again.`;
  const kind = says("kind", "version");
  if (kind.error !== undefined)
    return "kind is missing: install it (https://kind.sigs.k8s.io, or `go install sigs.k8s.io/kind@v0.33.0`) and run this again.";
  const [, minor = "0"] = /v0\.(\d+)\./.exec(kind.stdout) ?? [];
  if (Number(minor) < 27)
    return `${kind.stdout.trim()} is too old: install kind 0.27 or newer (https://kind.sigs.k8s.io) and run this again.`;
  if (says("kind", "get", "clusters").stdout.split("\n").includes("wharfinger"))
    return "There is a kind cluster of the name wharfinger already: delete it (`kind delete cluster --name wharfinger`) and run this again.";
  return undefined;
}

const missing = obstacle();
if (missing !== undefined) {
  process.stderr.write(`${missing}\n`);
  process.exit(1);
}

// Whatever happens, the last line says how it ended.
let passed = 0;
let failed = 1;
process.on("exit", () => process.stdout.write(`\n${passed} passed, ${failed} failed\n`));

endWithNpm();
await ensureInstalled();
const result = await runTests(["--config", "vitest.kind.config.ts", ...process.argv.slice(2)]);
({ passed, failed } = result);
process.exitCode = result.code;
