// The program as the image has it: `node place-program.mjs ROOT`. Plain Node.
import { chmodSync, cpSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

import { ensureBuilt, isBuilt } from "../bin/build.mjs";
import { ensureInstalled } from "../bin/install.mjs";

const [root] = process.argv.slice(2);
const place = join(root, "opt/wharfinger");

// Where the context has what was built of these very sources, no compiler is needed.
if (!isBuilt()) {
  // What is of other sources lies in a layer, out of which nothing can be renamed.
  rmSync("dist", { recursive: true, force: true });
  await ensureInstalled();
  if (!(await ensureBuilt())) process.exit(1);
}
for (const name of ["dist", "crds", "deploy/node", "examples", "package.json"])
  cpSync(name, join(place, name), { recursive: true, filter: (source) => !source.endsWith(".map") });
mkdirSync(join(root, "usr/local/bin"), { recursive: true });
cpSync("image/wharfinger", join(root, "usr/local/bin/wharfinger"));
normalise(root);
chmodSync(join(root, "usr/local/bin/wharfinger"), 0o755);

/** Whatever the umask of who checked it out. */
function normalise(folder) {
  chmodSync(folder, 0o755);
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) normalise(path);
    else chmodSync(path, 0o644);
  }
}
