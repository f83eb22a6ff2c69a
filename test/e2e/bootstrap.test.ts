// What a newcomer does: a copy of the repository with nothing installed, on the machine's own Node and npm.

import { spawn } from "node:child_process";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { program, type ProgramResult } from "../support/programs.ts";

const root = resolve(import.meta.dirname, "../..");
const left = new Set(["node_modules", "dist", "dist.partial", "dist.old", ".git", ".cache", "data", "coverage"]);

let folder: string;
let copy: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "wharfinger-bare-"));
  copy = join(folder, "wharfinger");
  await cp(root, copy, { recursive: true, filter: (source) => source === root || !left.has(basename(source)) });
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** Outside of this test run: no variables of npm or vitest, as in a fresh terminal. */
const fresh = Object.fromEntries(
  Object.entries(process.env).map(([name, value]) => [
    name,
    /^(npm_|VITEST|NODE_(ENV|OPTIONS|PATH|COMPILE_CACHE)$)/i.test(name) ? "" : (value ?? ""),
  ]),
);
const npm = (args: readonly string[], env: Record<string, string> = {}): Promise<ProgramResult> =>
  program("npm", args, { cwd: copy, env: { ...fresh, ...env }, timeout: 500_000 });

/** Runs it until it says that it serves, then ends npm as a service manager would; resolves when all of it has let go of its output. */
async function startAndStop(command: "npm" | "npx", args: readonly string[]): Promise<string> {
  const child = spawn(command, args, { cwd: copy, env: fresh, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  let asked = false;
  const collect = (chunk: Buffer) => {
    output += chunk.toString();
    if (asked || !/^Serving .*\n/m.test(output)) return;
    asked = true;
    child.kill("SIGTERM");
  };
  child.stdout.on("data", collect);
  child.stderr.on("data", collect);
  await new Promise((done) => child.once("close", done));
  return output;
}

test("before anything is built, the program says what to do", async () => {
  const { code, stderr } = await program("node", ["bin/wharfinger.mjs", "get"], { cwd: copy, env: fresh });
  expect([code, stderr]).toEqual([
    1,
    "Wharfinger is not built yet. Run `npm run build` (or `npm start`, which builds and serves) in its folder first.\n",
  ]);
});

test("npm start installs, builds and serves the quickstart; the second time it only serves", async () => {
  const args = ["start", "--", "--listen", "127.0.0.1:0", "--data", join(folder, "data")];
  const first = await startAndStop("npm", args);
  expect(first).toMatch(/^Installing the locked dependencies \(npm ci\)/m);
  expect(first).toMatch(/^Installed in \d+ s\.$/m);
  expect(first).toMatch(/^Built dist\/ in [\d.]+ s\.$/m);
  expect(first).toMatch(
    /^Serving http:\/\/127\.0\.0\.1:\d+ \(.*upstreams .*cgr.*record .* at [0-9a-f]{7}.*\)\. Try: docker pull 127\.0\.0\.1:\d+\//m,
  );
  expect(first).toMatch(/"msg":"stopped"/);

  const second = await startAndStop("npm", args);
  expect(second).not.toMatch(/Installing|Built/);
  expect(second).toMatch(/^Serving /m);
  expect(second).toMatch(/"msg":"stopped"/);
});

test("what npx started ends with npx", async () => {
  const output = await startAndStop("npx", ["wharfinger", "serve", "--listen", "127.0.0.1:0", "--data", join(folder, "data")]);
  expect(output).toMatch(/^Serving /m);
  expect(output).toMatch(/"msg":"stopped"/);
});

test("an installation that was cut off is done again, also where NODE_ENV is production", async () => {
  const few = join(folder, "few");
  await takePackages(few, { dependencies: "croner", devDependencies: "@types/semver" });
  await mkdir(join(few, "node_modules/croner"), { recursive: true });
  const script = "import { ensureInstalled } from './bin/install.mjs'; await ensureInstalled();";
  const { code, stderr } = await program("node", ["--input-type=module", "-e", script], {
    cwd: few,
    env: { ...fresh, NODE_ENV: "production" },
  });
  expect([code, stderr]).toEqual([0, expect.stringContaining("Installing the locked dependencies")]);
  for (const name of ["croner", "@types/semver"]) await stat(join(few, "node_modules", name, "package.json"));
});

/** The scripts of `bin` in a folder of their own, with a package of each sort out of the locked ones: they are installed as all are, and sooner. */
async function takePackages(to: string, wanted: Readonly<Record<"dependencies" | "devDependencies", string>>): Promise<void> {
  const read = async (name: string) => JSON.parse(await readFile(join(root, name), "utf8")) as Record<string, Record<string, unknown>>;
  const [manifest, lock] = [await read("package.json"), await read("package-lock.json")];
  const sorts = Object.entries(wanted).map(([sort, name]) => [sort, { [name]: manifest[sort]?.[name] }]);
  const own = { name: "few", version: "1.0.0", ...Object.fromEntries(sorts) };
  const packages = Object.values(wanted).map((name) => [`node_modules/${name}`, lock["packages"]?.[`node_modules/${name}`]]);
  await cp(join(root, "bin"), join(to, "bin"), { recursive: true });
  await writeFile(join(to, "package.json"), JSON.stringify(own));
  const kept = { ...own, lockfileVersion: lock["lockfileVersion"], requires: true, packages: { "": own, ...Object.fromEntries(packages) } };
  await writeFile(join(to, "package-lock.json"), JSON.stringify(kept));
}

describe("interrupted while something else works for it", () => {
  // What npm and the compiler do with signals while they work: nothing.
  const deaf =
    "for (const name of ['SIGINT', 'SIGTERM']) process.on(name, () => {});\nsetInterval(() => {}, 1000);\nconsole.log(`working ${process.pid}`);\n";
  let bare: string;
  beforeAll(async () => {
    bare = join(folder, "interrupted");
    await cp(join(root, "bin"), join(bare, "bin"), { recursive: true });
    await mkdir(join(bare, "src/cli"), { recursive: true });
    await writeFile(join(bare, "src/cli/main.ts"), "");
    for (const name of ["tsconfig.json", "tsconfig.build.json"]) await writeFile(join(bare, name), "{}");
    await writeFile(join(bare, "package.json"), JSON.stringify({ type: "module", imports: {} }));
    await writeFile(join(bare, "package-lock.json"), JSON.stringify({ packages: { "node_modules/absent": { version: "1.0.0" } } }));
    await mkdir(join(bare, "node_modules/typescript/bin"), { recursive: true });
    await writeFile(join(bare, "node_modules/typescript/bin/tsc"), deaf);
    await writeFile(join(bare, "npm-cli.js"), deaf);
  });

  test.each([
    ["npm", "SIGINT", 130, "import { ensureInstalled } from './bin/install.mjs'; await ensureInstalled();"],
    ["npm", "SIGTERM", 143, "import { ensureInstalled } from './bin/install.mjs'; await ensureInstalled();"],
    ["the compiler", "SIGINT", 130, "import { ensureBuilt } from './bin/build.mjs'; await ensureBuilt();"],
  ] as const)("%s, by %s: both end at once", async (_, signal, code, script) => {
    const child = spawn(process.execPath, ["--input-type=module", "-e", `${script} console.log('went on');`], {
      cwd: bare,
      env: { ...fresh, npm_execpath: join(bare, "npm-cli.js") },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const ended = new Promise<number | null>((done) => child.once("close", done));
    let [output, said] = ["", ""];
    const worker = await new Promise<number>((found, lost) => {
      child.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()));
      child.stdout.on("data", (chunk: Buffer) => {
        output += chunk.toString();
        const pid = /^working (\d+)$/m.exec(output)?.[1];
        if (pid !== undefined) found(Number(pid));
      });
      child.once("close", () => lost(new Error(said)));
    });
    child.kill(signal);
    // Closed: neither it nor the worker holds its output any more.
    expect([await ended, output]).toEqual([code, `working ${worker}\n`]);
  });
});

test("options that npm kept for itself are missed", async () => {
  const { code, stderr } = await npm(["start", "--data", "elsewhere"]);
  expect([code, stderr]).toEqual([1, expect.stringContaining("npm start -- --data DIR (it passed on: elsewhere)")]);
});

describe("with a program of one line, which is checked and built sooner", () => {
  let source: string;
  const line = "process.exitCode = 0;\n";
  beforeAll(async () => {
    for (const name of ["src", "test", "scripts"]) await rm(join(copy, name), { recursive: true });
    source = join(copy, "src/cli/main.ts");
    await mkdir(dirname(source), { recursive: true });
    await writeFile(source, line);
    await npm(["run", "build"]);
  });

  test("a build that fails leaves the earlier one, and npm test says how it ended", async () => {
    const built = await readFile(join(copy, "dist/built-from"), "utf8");
    await writeFile(source, `${line}export const broken: number = 'text';\n`);

    const build = await npm(["run", "build"]);
    expect([build.code, build.stderr]).toEqual([1, expect.stringContaining("The build failed; the compiler's messages are above.")]);
    expect(await readFile(join(copy, "dist/built-from"), "utf8")).toBe(built);
    expect((await readdir(copy)).filter((name) => name.startsWith("dist"))).toEqual(["dist"]);
    expect((await npm(["start"])).code).toBe(1);

    const tests = await npm(["test"]);
    expect(tests.code).toBe(1);
    expect(tests.stdout).toMatch(/^✗ typecheck /m);
    expect(tests.stdout.trimEnd().split("\n").at(-1)).toMatch(/^0 passed, [1-9]\d* failed$/);
  });

  test("two builds at once, and one whose lock a killed process left", async () => {
    await writeFile(source, `${line}// changed\n`);
    const both = await Promise.all([npm(["start"]), npm(["start"])]);
    expect(both.map(({ code }) => code)).toEqual([0, 0]);
    expect(both.filter(({ stderr }) => stderr.includes("Built dist/"))).toHaveLength(1);

    const lock = join(copy, ".cache/bootstrap.lock");
    await writeFile(lock, "1 1 1");
    const long = new Date(Date.now() - 60_000);
    await utimes(lock, long, long);
    expect((await npm(["run", "build"])).code).toBe(0);
  });
});
