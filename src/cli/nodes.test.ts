// `wharfinger nodes` as a process: ready when the files are there, words about what is not, nothing left when it goes.

import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";

import { startServing } from "../../test/support/serving-process.ts";
import { wharfinger } from "../../test/support/standalone.ts";

const program = resolve(import.meta.dirname, "main.ts");
let folder: string;
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), "wharfinger-nodes-"))));
afterEach(() => rm(folder, { recursive: true }));

const args = (...more: readonly string[]) => [
  "nodes",
  "--host=docker.io",
  "--host=ghcr.io",
  `--certs-dir=${join(folder, "certs.d")}`,
  `--problems=${join(folder, "problems")}`,
  "--installation=nodes/wharfinger",
  "--pod=one",
  ...more,
];
const address = ["--address", "http://10.96.0.50:5000"];

test("the files are there as long as it runs, and what is not configured is said", async () => {
  await mkdir(join(folder, "certs.d/ghcr.io"), { recursive: true });
  await writeFile(join(folder, "certs.d/ghcr.io/hosts.toml"), "server = 'https://ghcr.io'\n");
  const nodes = await startServing([process.execPath, program, ...args(...address)], { ready: "Keeping ", env: {}, lastSignal: "SIGKILL" });
  const problem = `ghcr.io is left as it is: ${join(folder, "certs.d/ghcr.io/hosts.toml")} was written by somebody else.`;
  expect(await readFile(join(folder, "problems"), "utf8")).toBe(problem);
  expect(nodes.logs()).toContain(problem);
  expect((await readdir(join(folder, "certs.d"))).toSorted()).toEqual(["docker.io", "ghcr.io"]);
  expect(await nodes.stop()).toBe(0);
  expect(await readdir(join(folder, "certs.d"))).toEqual(["ghcr.io"]);
});

test("a password that goes in plain is warned of", async () => {
  await writeFile(join(folder, "password"), "wfr_secret\n");
  const given = ["--password-file", join(folder, "password")];
  const nodes = await startServing([process.execPath, program, ...args(...address, ...given)], {
    ready: "Keeping ",
    env: {},
    lastSignal: "SIGKILL",
  });
  expect(nodes.logs()).toContain("the password of nodes goes to http://10.96.0.50:5000 as it is");
  expect(nodes.logs()).not.toContain("wfr_secret");
  expect(await nodes.stop()).toBe(0);
});

test.each([
  [["--address", "http://localhost:5000"], 1, "is each node itself"],
  [["--address", "https://ghcr.io"], 1, "ghcr.io is the registry itself"],
  [[...address, "--password-file", "nowhere"], 1, "(--password-file) cannot be read"],
  [
    ["--address", "http://192.0.2.1:5000", "--password-file", program],
    1,
    "The password of nodes would go to http://192.0.2.1:5000 as it is",
  ],
  [["--address", "http://registry.example.com", "--password-file", program], 1, "write https://, the ClusterIP"],
  [[...address, "--pod", "a b"], 2, "Write letters, digits"],
])("%j", async (more, code, words) => {
  const done = await wharfinger(args(...more), { cwd: folder });
  expect([done.code, done.stdout]).toEqual([code, ""]);
  expect(done.stderr).toContain(words);
  expect(await readdir(folder)).toEqual([]);
});
