// What a newcomer does: a copy of the repository with nothing installed, on the machine's own Node and npm.

import { spawn } from "node:child_process";
import { appendFile, cp, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

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
  await rm(join(copy, "node_modules/.package-lock.json"));
  const { code, stderr } = await npm(["start", "--", "--help"], { NODE_ENV: "production" });
  expect(stderr).toContain("Installing the locked dependencies");
  expect(code).toBe(0);
  await stat(join(copy, "node_modules/typescript/package.json"));
});

test("a build that fails leaves the earlier one, and npm test says how it ended", async () => {
  const source = join(copy, "src/cli/main.ts");
  const before = await readFile(source, "utf8");
  const built = await readFile(join(copy, "dist/built-from"), "utf8");
  await appendFile(source, "\nexport const broken: number = 'text';\n");

  const build = await npm(["run", "build"]);
  expect([build.code, build.stderr]).toEqual([1, expect.stringContaining("The build failed; the compiler's messages are above.")]);
  expect(await readFile(join(copy, "dist/built-from"), "utf8")).toBe(built);
  expect((await readdir(copy)).filter((name) => name.startsWith("dist"))).toEqual(["dist"]);
  expect((await npm(["start", "--", "--help"])).code).toBe(1);

  const tests = await npm(["test"]);
  expect(tests.code).toBe(1);
  expect(tests.stdout).toMatch(/^✗ typecheck /m);
  expect(tests.stdout.trimEnd().split("\n").at(-1)).toMatch(/^0 passed, [1-9]\d* failed$/);
  await writeFile(source, before);
});

test("two builds at once, and one whose lock a killed process left", async () => {
  await appendFile(join(copy, "src/cli/main.ts"), "\n// changed\n");
  const both = await Promise.all([npm(["start", "--", "--help"]), npm(["start", "--", "--help"])]);
  expect(both.map(({ code }) => code)).toEqual([0, 0]);
  expect(both.filter(({ stderr }) => stderr.includes("Built dist/"))).toHaveLength(1);

  const lock = join(copy, ".cache/bootstrap.lock");
  await writeFile(lock, "1 1 1");
  const long = new Date(Date.now() - 60_000);
  await utimes(lock, long, long);
  expect((await npm(["run", "build"])).code).toBe(0);
});
