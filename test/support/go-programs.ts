// Go programs, built once into a cache outside the repository. Most are installed by themselves, `module@version` (docs/adr/0006); a module that
// replaces others cannot be, and has its go.mod and go.sum in test/tools.

import { spawn } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { isExecutable, onPath } from "./executables.ts";

const modules = resolve(import.meta.dirname, "../tools");

export interface GoProgram {
  readonly name: string;
  readonly version: string;
  /** The package, as Go names it. */
  readonly package: string;
  /** The folder of test/tools whose go.mod pins it; none: the package's own does. */
  readonly pinnedIn?: string;
  /** Variables that the linker sets. */
  readonly variables?: Readonly<Record<string, string>>;
  /** What takes minutes says so. */
  readonly patience?: string;
  /** Another way to have it, after "or". */
  readonly otherwise?: string;
}

/** Where programs are kept from one run to the next. */
export function cacheFolder(): string {
  return join(process.env["WHARFINGER_TOOLS"] ?? join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "wharfinger"), "tools");
}

const folderOf = ({ name, version }: GoProgram) => join(cacheFolder(), `${name}-${version}`);

/** Absolute path of the program if the cache has it. */
export async function cached(wanted: GoProgram): Promise<string | undefined> {
  const file = join(folderOf(wanted), wanted.name);
  return (await isExecutable(file)) ? file : undefined;
}

/** Builds it into the cache. Resolves with its absolute path; rejects with what to do. */
export async function build(wanted: GoProgram): Promise<string> {
  const { name, version } = wanted;
  const otherwise = wanted.otherwise === undefined ? "" : `, or ${wanted.otherwise}`;
  const go = await onPath("go");
  if (go === undefined)
    throw new Error(
      `The tests need ${name} ${version} and build it with Go, which is not on PATH. Install Go 1.26 or newer (https://go.dev/dl), or set ${variableOf(name)}${otherwise}.`,
    );
  const folder = folderOf(wanted);
  await mkdir(folder, { recursive: true });
  process.stderr.write(`building ${name} ${version} (once${wanted.patience ?? ""}, kept in ${folder})\n`);
  // Built beside and renamed, so that two runs at once cannot meet a half written program.
  const partial = await mkdtemp(join(tmpdir(), "wharfinger-go-"));
  try {
    const made = wanted.pinnedIn === undefined ? await install(go, wanted, partial) : await compile(go, wanted, wanted.pinnedIn, partial);
    const program = join(folder, name);
    const staged = `${program}.${process.pid}`;
    await cp(made, staged);
    await rename(staged, program);
    return program;
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}

/** The environment variable that names a program which exists. */
export function variableOf(name: string): string {
  return `WHARFINGER_TOOL_${name.toUpperCase().replaceAll("-", "_")}`;
}

/** The version that test/tools/<module>/go.mod requires of a module, as `v1.2.3`. */
export async function pinnedVersion(pinnedIn: string, module: string): Promise<string> {
  const text = await readFile(join(modules, pinnedIn, "go.mod"), "utf8");
  const version = text.split("\n").flatMap((line) => {
    const [first, second, third] = line.trim().split(/\s+/);
    return first === module ? [second] : first === "require" && second === module ? [third] : [];
  })[0];
  if (version === undefined) throw new Error(`test/tools/${pinnedIn}/go.mod does not require ${module}`);
  return version;
}

async function install(go: string, wanted: GoProgram, folder: string): Promise<string> {
  const module = `${wanted.package}@${wanted.version}`;
  await runGo(go, ["install", "-v", module], { wanted, cwd: folder, env: { GOBIN: folder, GOFLAGS: "-trimpath" } });
  return join(folder, wanted.name);
}

async function compile(go: string, wanted: GoProgram, pinnedIn: string, folder: string): Promise<string> {
  const made = join(folder, wanted.name);
  const variables = Object.entries(wanted.variables ?? {}).map(([name, value]) => `-X ${name}=${value}`);
  const flags = ["-v", "-trimpath", "-mod=readonly", "-ldflags", ["-s", "-w", ...variables].join(" ")];
  const cwd = join(modules, pinnedIn);
  await runGo(go, ["build", ...flags, "-o", made, wanted.package], { wanted, cwd, env: { CGO_ENABLED: "0", GOFLAGS: "" } });
  return made;
}

/** Milliseconds between two words about a build that goes on. */
const progressEvery = 30_000;

interface GoOptions {
  readonly wanted: GoProgram;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
}

/** Runs Go with `-v`, which names each package that it has compiled. */
function runGo(go: string, args: readonly string[], { wanted, cwd, env }: GoOptions): Promise<void> {
  return new Promise((done, failed) => {
    const child = spawn(go, args, { cwd, env: { ...process.env, ...env }, stdio: ["ignore", "ignore", "pipe"] });
    let compiled = 0;
    let said = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      compiled += text.split("\n").length - 1;
      said = (said + text).slice(-4000);
    });
    const progress = setInterval(() => process.stderr.write(`  ${wanted.name}: ${compiled} packages compiled\n`), progressEvery);
    child.on("error", failed);
    child.on("close", (code) => {
      clearInterval(progress);
      if (code === 0) return done();
      const how = `Without the internet set GOPROXY to a proxy of Go modules, or ${variableOf(wanted.name)} to a program that exists.`;
      failed(new Error(`${wanted.name} ${wanted.version} could not be built (go ended with ${code}):\n${said}\n${how}`));
    });
  });
}
