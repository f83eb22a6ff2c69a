// Installs the locked dependencies when what is in node_modules is not what package-lock.json says. Plain Node.
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { exclusively } from "./lock.mjs";
import { root, runStep } from "./node-version.mjs";

export async function ensureInstalled() {
  if (isInstalled()) return;
  await exclusively(
    async () => {
      if (isInstalled()) return;
      await install();
    },
    { onWait: () => say("Another process is installing or building in this checkout; waiting for it.") },
  );
}

async function install() {
  say("Installing the locked dependencies (npm ci). The first time this downloads about 150 MB.");
  const started = Date.now();
  const seconds = () => Math.round((Date.now() - started) / 1000);
  const progress = setInterval(() => say(`… still installing (${seconds()} s)`), 10_000);
  const [command, ...first] = npm();
  // Install scripts stay off on every npm: nothing here needs one. Development packages hold the compiler, also where NODE_ENV=production.
  const code = await runStep(
    command,
    [...first, "ci", "--include=dev", "--include=optional", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
    {
      cwd: root,
    },
  );
  clearInterval(progress);
  if (code === 0 && isInstalled()) return say(`Installed in ${seconds()} s.`);
  say(
    `The dependencies could not be installed (npm ci ended with ${code}). Its messages are above; run the same command again once that is mended.`,
  );
  process.exit(1);
}

/** The npm that started us, else the one on PATH. */
function npm() {
  const started = process.env.npm_execpath ?? "";
  return started.endsWith("npm-cli.js") ? [process.execPath, started] : ["npm"];
}

/**
 * npm writes node_modules/.package-lock.json as its last step, so it says what is there and is missing after an
 * installation that was cut off. Comparing contents, not times: a checkout of the same commit installs nothing again.
 */
function isInstalled() {
  const wanted = packages(join(root, "package-lock.json"));
  const present = packages(join(root, "node_modules", ".package-lock.json"));
  if (wanted === undefined) throw new Error("package-lock.json is missing: the checkout is not complete");
  if (present === undefined) return false;
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === "") return true;
    const found = present[path];
    return found === undefined ? !isNeededHere(entry) : found.version === entry.version && found.integrity === entry.integrity;
  });
}

function packages(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8")).packages;
  } catch {
    return undefined;
  }
}

function isNeededHere({ optional, os, cpu, libc }) {
  if (optional !== true) return true;
  if (os === undefined && cpu === undefined) return false;
  // Which C library this machine has is npm's knowledge, not ours.
  return libc === undefined && (os ?? [process.platform]).includes(process.platform) && (cpu ?? [process.arch]).includes(process.arch);
}

function say(text) {
  process.stderr.write(`${text}\n`);
}
