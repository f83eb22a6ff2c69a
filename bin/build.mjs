// Builds dist/ from src/ when it is not what the sources say. Plain Node. `npm run build` runs this file and always builds.
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

import { ensureInstalled } from "./install.mjs";
import { exclusively } from "./lock.mjs";
import { modernNode, root, runStep } from "./node-version.mjs";

const dist = join(root, "dist");
const stamp = "built-from";

/**
 * Resolves with true, or with false when the compiler refused; then the earlier dist/ is untouched. `checked`: the types of these sources were
 * checked just now, which is most of a build's work.
 */
export async function ensureBuilt({ force = false, checked = false } = {}) {
  if (!force && isBuilt()) return true;
  return exclusively(async () => (!force && isBuilt()) || build(checked), {
    onWait: () => say("Another process is installing or building in this checkout; waiting for it."),
  });
}

async function build(checked) {
  // Beside dist/ and not below: source maps then lead to src/ after the renaming as well.
  const partial = `${dist}.partial`;
  rmSync(partial, { recursive: true, force: true });
  const started = Date.now();
  const sources = hashSources();
  const compiler = join(root, "node_modules", "typescript", "bin", "tsc");
  const args = ["-p", join(root, "tsconfig.build.json"), "--outDir", partial, ...(checked ? ["--noCheck"] : [])];
  say("Building dist/ from src/.");
  const code = await runStep(modernNode(), [compiler, ...args], { cwd: root });
  if (code !== 0) {
    rmSync(partial, { recursive: true, force: true });
    say("The build failed; the compiler's messages are above.");
    return false;
  }
  for (const file of sourceFiles().filter((name) => !name.endsWith(".ts"))) {
    const copy = join(partial, relative(join(root, "src"), file));
    mkdirSync(dirname(copy), { recursive: true });
    copyFileSync(file, copy);
  }
  writeFileSync(join(partial, "package.json"), `${JSON.stringify({ type: "module", imports: builtImports() }, null, 2)}\n`);
  writeFileSync(join(partial, stamp), sources);
  const old = `${dist}.old`;
  rmSync(old, { recursive: true, force: true });
  if (existsSync(dist)) renameSync(dist, old);
  renameSync(partial, dist);
  rmSync(old, { recursive: true, force: true });
  say(`Built dist/ in ${((Date.now() - started) / 1000).toFixed(1)} s.`);
  return true;
}

/** `imports` of package.json lead into src/; what is built finds its own files by a package.json of its own. */
export function builtImports() {
  const { imports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  return JSON.parse(JSON.stringify(imports).replaceAll(/"\.\/src\/([^"]*)\.ts"/g, '"./$1.js"'));
}

/** Whether dist/ is what the sources say. */
export function isBuilt() {
  try {
    return readFileSync(join(dist, stamp), "utf8") === hashSources();
  } catch {
    return false;
  }
}

/** Contents, not times: a fresh checkout of the same commit builds nothing again. */
function hashSources() {
  const hash = createHash("sha256");
  const configuration = ["tsconfig.json", "tsconfig.build.json", "package-lock.json", "package.json"].map((name) => join(root, name));
  for (const file of [...configuration, ...sourceFiles()])
    hash
      .update(`${relative(root, file)}\0`)
      .update(readFileSync(file))
      .update("\0");
  return hash.digest("hex");
}

function sourceFiles() {
  const source = join(root, "src");
  return readdirSync(source, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.endsWith(".test.ts"))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

function say(text) {
  process.stderr.write(`${text}\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await ensureInstalled();
  process.exitCode = (await ensureBuilt({ force: true })) ? 0 : 1;
}
