// The real programs that tests drive. Go tools are pinned here and built once into a cache outside the repository; clients that only
// exist as packages come from the machine, and are installed with Debian's apt where we may. Nothing is skipped: what cannot be had fails
// the run with what to do.

import { execFile } from "node:child_process";
import { access, constants, mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

const goTools = {
  crane: { module: "github.com/google/go-containerregistry/cmd/crane", version: "v0.22.1" },
  /** CNCF distribution: the upstream that tests proxy, and the peer we measure against. */
  registry: { module: "github.com/distribution/distribution/v3/cmd/registry", version: "v3.1.2" },
  /** An S3 service over a folder. */
  versitygw: { module: "github.com/versity/versitygw/cmd/versitygw", version: "v1.8.0" },
  /** Another S3 service, which shares no code with the first. */
  rclone: { module: "github.com/rclone/rclone", version: "v1.76.0" },
  cosign: { module: "github.com/sigstore/cosign/v3/cmd/cosign", version: "v3.1.3" },
} as const;

const packagedTools = ["skopeo", "buildah", "podman", "git", "pgbouncer"] as const;

export type Tool = keyof typeof goTools | (typeof packagedTools)[number];

const pending = new Map<Tool, Promise<string>>();

/** Absolute path of a program, built or installed when it is missing. `WHARFINGER_TOOL_<NAME>` names one that exists. */
export function tool(name: Tool): Promise<string> {
  let found = pending.get(name);
  if (found === undefined) {
    found = find(name);
    pending.set(name, found);
  }
  return found;
}

/** Only `npm run test:s3` drives it, which has its own setup: it takes about three minutes to build. */
const builtLater: readonly string[] = ["rclone"] satisfies Tool[];

/** Builds and installs whatever is missing, one after the other: each build uses all processors. */
export async function ensureTools(): Promise<void> {
  const names = [...packagedTools, ...Object.keys(goTools)].filter((name) => !builtLater.includes(name));
  for (const name of names as Tool[]) await tool(name);
}

async function find(name: Tool): Promise<string> {
  const given = process.env[`WHARFINGER_TOOL_${name.toUpperCase()}`];
  if (given !== undefined) {
    if (await isExecutable(given)) return given;
    throw new Error(`WHARFINGER_TOOL_${name.toUpperCase()} names ${given}, which cannot be executed.`);
  }
  return name in goTools ? built(name as keyof typeof goTools) : packaged(name);
}

function cacheFolder(): string {
  return join(process.env["WHARFINGER_TOOLS"] ?? join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "wharfinger"), "tools");
}

async function built(name: keyof typeof goTools): Promise<string> {
  const { module, version } = goTools[name];
  const folder = join(cacheFolder(), `${name}-${version}`);
  const program = join(folder, name);
  if (await isExecutable(program)) return program;
  const go = await onPath("go");
  if (go === undefined)
    throw new Error(
      `The tests need ${name} ${version} and build it with Go, which is not on PATH. Install Go 1.26 or newer (https://go.dev/dl), or set WHARFINGER_TOOL_${name.toUpperCase()}.`,
    );
  await mkdir(folder, { recursive: true });
  // Built beside and renamed, so that two runs at once cannot meet a half written program.
  const partial = await mkdtemp(join(tmpdir(), "wharfinger-go-"));
  process.stderr.write(`building ${name} ${version} (once, kept in ${folder})\n`);
  try {
    await run(go, ["install", `${module}@${version}`], {
      env: { ...process.env, GOBIN: join(partial, "bin"), GOFLAGS: "-trimpath" },
      maxBuffer: 64 * 1024 * 1024,
    });
    const staged = `${program}.${process.pid}`;
    await run("cp", [join(partial, "bin", name), staged]);
    await rename(staged, program);
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
  return program;
}

let installing: Promise<void> | undefined;

async function packaged(name: string): Promise<string> {
  const present = await onPath(name);
  if (present !== undefined) return present;
  installing ??= installPackages();
  await installing;
  const installed = await onPath(name);
  if (installed !== undefined) return installed;
  throw new Error(
    `The tests need ${name}. Install it (Debian, Ubuntu: apt-get install ${packagedTools.join(" ")}; Fedora: dnf install …; macOS: brew install …) and run them again.`,
  );
}

async function installPackages(): Promise<void> {
  const apt = await onPath("apt-get");
  if (apt === undefined || process.getuid?.() !== 0) return;
  process.stderr.write(`installing ${packagedTools.join(", ")}\n`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const options = { env, maxBuffer: 64 * 1024 * 1024 };
  await run(apt, ["update", "-qq"], options);
  await run(apt, ["install", "-y", "-qq", "--no-install-recommends", ...packagedTools], options);
}

async function onPath(name: string): Promise<string | undefined> {
  // Servers lie where ordinary users do not look.
  for (const folder of [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin"]) {
    const file = join(folder, name);
    if (await isExecutable(file)) return file;
  }
  return undefined;
}

function isExecutable(file: string): Promise<boolean> {
  return access(file, constants.X_OK).then(
    () => true,
    () => false,
  );
}
