// `wharfinger robot` without a cluster. At an API server: test/kubernetes/robots.test.ts.

import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";
import { parse } from "yaml";

import { wharfinger } from "../../test/support/standalone.ts";
import { isRobotPassword, parseRobots } from "../domain/robots.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "wharfinger-robot-"));
  await writeFile(join(folder, "upstream.yaml"), "kind: Upstream\nmetadata: {name: wharfinger-robots}\n");
});
afterAll(() => rm(folder, { recursive: true }));

const robot = (...args: readonly string[]) => wharfinger(["robot", ...args], { cwd: folder, env: { HOME: folder, KUBECONFIG: "" } });
const file = ["--file", "robots.yaml"];

test("in a file of resources they come and go, and the registry reads them", async () => {
  const { code, stdout, stderr } = await robot("create", "ci", ...file, "--expires", "12h");
  expect([code, stdout]).toEqual([0, ""]);
  const [, password = ""] = /shown this once: (\S+)\n/.exec(stderr) ?? [];
  expect(isRobotPassword(password)).toBe(true);
  await robot("create", "second", ...file);
  const path = join(folder, "robots.yaml");
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  const { data } = parse(await readFile(path, "utf8")) as { data: Record<string, string> };
  const read = parseRobots(new Map(Object.entries(data).map(([name, value]) => [name, Buffer.from(value, "base64")])), new Map());
  expect([[...read.robots.keys()], read.problems]).toEqual([["ci", "second"], []]);
  expect(await readFile(path, "utf8")).not.toContain(password);
  expect((await robot("revoke", "ci", ...file)).code).toBe(0);
  expect((await robot("list", ...file, "-o", "json")).stdout).toMatch(/^\[\s*\{\s*"name": "second"/);
});

test.each([
  [["create"], 2, "missing required argument 'name'"],
  [["create", "UPPER"], 2, "A robot's name has at most 63"],
  [["create", "-a"], 2, "unknown option"],
  [["create", "a", "--expires", "yesterday"], 2, "Write days (90d)"],
  [["create", "a", "--expires", "2001-01-01T00:00:00Z"], 2, "a time to come"],
  [["create", "a", "--expires", "0d"], 2, "a time to come"],
  [["create", "a", "--pull-secret", "team-a"], 1, "give that of externalURL with --host"],
  [["create", "a", "--pull-secret", "Team A", "--host", "r.example.com"], 2, "Write the name of a namespace"],
  [["create", "a", "--pull-secret", "team-a", "--host", "https://r.example.com"], 2, "no scheme, no path"],
  [["create", "a", ...file, "--pull-secret", "team-a", "--host", "r.example.com"], 1, "give one of them"],
  [["create", "a", "--password-file", "upstream.yaml"], 1, "is there: name a new file"],
  [["create", "a", "--file", "upstream.yaml"], 1, "name a file of its own"],
  [["create", "a", "--apply"], 1, "There is no kubeconfig"],
  [["revoke", "nobody", ...file], 1, "There is no robot nobody in robots.yaml"],
])("%j", async (args, code, words) => {
  const done = await robot(...args);
  expect([done.code, done.stdout]).toEqual([code, ""]);
  expect(done.stderr).toContain(words);
  expect(done.stderr).not.toContain("wfr_");
});
