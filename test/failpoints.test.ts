// Failpoints as processes have them: none without the condition, and with it what FAILPOINT says.

import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

import { expect, test } from "vitest";

import { failpoints } from "../src/failpoints/names.ts";

const root = resolve(import.meta.dirname, "..");
const { builtImports } = (await import(resolve(root, "bin/build.mjs"))) as { builtImports: () => Record<string, Record<string, string>> };

/** Runs `failpoint(<point>)` in a process of its own. `onWords` hears what it says while it runs. */
function reach(point: string, options: { armed: boolean; orders: string; onWords?: (words: string, pid: number) => void }) {
  const code = `const { failpoint } = await import("#failpoints"); const alive = setInterval(() => {}, 1000);
    try { await failpoint("${point}"); console.log("went on") } catch (error) { console.log(error.message) } clearInterval(alive)`;
  const conditions = options.armed ? ["--conditions=failpoints"] : [];
  const child = spawn(process.execPath, [...conditions, "--input-type=module", "-e", code], {
    cwd: root,
    env: { ...process.env, FAILPOINT: options.orders },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const said = { stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (said.stdout += chunk));
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    said.stderr += chunk;
    options.onWords?.(said.stderr, child.pid ?? 0);
  });
  return new Promise<{ stdout: string; stderr: string; signal: string | null }>((done) =>
    child.once("close", (_, signal) => done({ stdout: said.stdout.trim(), stderr: said.stderr.trim(), signal })),
  );
}

test("without the condition nothing happens, whatever FAILPOINT says", async () => {
  expect(await reach("U2.committed", { armed: false, orders: "U2.committed:kill" })).toEqual({
    stdout: "went on",
    stderr: "",
    signal: null,
  });
});

test("a process is killed, fails, sleeps or waits where it is told to, and says so first", async () => {
  const orders = "U2.committed:kill;M1.locked:error;D1.locked:sleep(1);G1.taken:pause";
  const armed = { armed: true, orders };
  const released = { ...armed, onWords: (words: string, pid: number) => void (words.endsWith("pause\n") && process.kill(pid, "SIGUSR2")) };
  expect(
    await Promise.all([
      reach("U2.committed", armed),
      reach("M1.locked", armed),
      reach("D1.locked", armed),
      reach("G1.taken", released),
      reach("M1.upserted", armed),
    ]),
  ).toEqual([
    { stdout: "", stderr: "failpoint U2.committed: kill", signal: "SIGKILL" },
    { stdout: "failpoint M1.locked", stderr: "failpoint M1.locked: error", signal: null },
    { stdout: "went on", stderr: "failpoint D1.locked: sleep 1 ms", signal: null },
    { stdout: "went on", stderr: "failpoint G1.taken: pause", signal: null },
    { stdout: "went on", stderr: "", signal: null },
  ]);
});

test("every failpoint is somewhere, and nowhere else than in the registry's protocol and the operator's", () => {
  const source = join(root, "src");
  const used = readdirSync(source, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts") && !file.endsWith(".test.ts"))
    .flatMap((file) =>
      [...readFileSync(join(source, file), "utf8").matchAll(/\bfailpoint\("([^"]+)"\)/g)].map(([, name]) => ({ file, name })),
    );
  expect(new Set(used.map(({ name }) => name))).toEqual(new Set(failpoints));
  expect(used.filter(({ file }) => !/^(?:registry\/(?:services|metadata|tokens)|record|operator)\//.test(file))).toEqual([]);
});

test("what is built finds the same files in dist/", () => {
  const targets = Object.values(builtImports()["#failpoints"] ?? {});
  expect(targets).toEqual(["./failpoints/armed.js", "./failpoints/off.js"]);
  for (const target of targets) expect(existsSync(join(root, "src", target.replace(/\.js$/, ".ts")))).toBe(true);
});
