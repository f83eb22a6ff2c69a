// Whole processes with a record at a remote: `wharfinger serve` by its settings, and a writer that is killed at whatever instruction.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { afterAll, beforeAll, expect, test } from "vitest";
import { stringify } from "yaml";

import { eventually } from "../support/eventually.ts";
import { GitHost } from "../support/git-remote.ts";
import { startStandalone } from "../support/standalone.ts";

let host: GitHost;
const folder = mkdtempSync(join(tmpdir(), "wharfinger-remote-"));
const settings = join(folder, "settings.yaml");

beforeAll(async () => {
  host = await GitHost.start();
});
afterAll(async () => {
  await host.stop();
  rmSync(folder, { recursive: true, force: true });
});

test("serve goes by a remote of its settings, says when it cannot, and comes back to it after kill -9", async () => {
  const repository = host.repository("serve");
  writeFileSync(settings, stringify({ record: { remote: { url: host.urlOf(repository), interval: "1s", secretRef: { name: "git" } } } }));
  let served = await startStandalone({ settings });
  // Its Secret comes later than the process.
  expect(served.logs()).toContain("there is no Secret default/git");
  const secret = { apiVersion: "v1", kind: "Secret", metadata: { name: "git" }, stringData: host.secret };
  const upstream = {
    apiVersion: "wharfinger.dev/v1alpha1",
    kind: "Upstream",
    metadata: { name: "cgr" },
    spec: { url: "https://cgr.dev", prefix: "cgr" },
  };
  writeFileSync(join(served.config, "secret.yaml"), stringify(secret));
  writeFileSync(join(served.config, "cgr.yaml"), stringify(upstream));
  await eventually(() =>
    expect(repository.git("log", "--format=%s", "wharfinger")).toBe("upstream default/cgr: generation 1\nrecord: begins"),
  );
  await served.kill9();
  served = await served.restart();
  host.faults.down = true;
  await eventually(async () => expect((await served.cli(["record", "status"])).stdout).toContain("Not recorded: fetch from https:"));
  expect(served.logs()).not.toContain(host.secret["password"]);
  host.heal();
  writeFileSync(join(served.config, "cgr.yaml"), stringify({ ...upstream, spec: { ...upstream.spec, cache: { tagTTL: "1m" } } }));
  await eventually(() => expect(repository.git("log", "-1", "--format=%s", "wharfinger")).toBe("upstream default/cgr: generation 2"));
  expect(await served.stop()).toBe(0);
});

const rounds = 10;

test(`${rounds} kills while the record is pushed: what was said is there, and the branch goes on`, async () => {
  const repository = host.repository("killed");
  const said: string[] = [];
  // On a machine that gets less done in its time there are more of them.
  for (let round = 0; round < rounds || said.length <= rounds; round++) said.push(...(await writeAndKill(host.urlOf(repository), round)));
  const history = new Set(repository.git("rev-list", "wharfinger").split("\n"));
  expect(said.filter((id) => !history.has(id))).toEqual([]);
  expect(repository.git("log", "--merges", "--format=%H", "wharfinger")).toBe("");
  expect(repository.git("fsck", "--strict", "--no-dangling")).toBe("");
});

/** Lets it push for a while that differs from round to round. Returns what it said was committed. */
async function writeAndKill(url: string, round: number): Promise<string[]> {
  const writer = fileURLToPath(new URL("../support/record-writer.ts", import.meta.url));
  const env = { ...process.env, TMPDIR: folder, REMOTE: JSON.stringify({ url, secret: host.secret }) };
  const child = spawn(process.execPath, [writer, join(folder, "clone")], { stdio: ["ignore", "pipe", "inherit"], env });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (output += chunk));
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  await new Promise<void>((resolve) => child.stdout.once("data", () => resolve()));
  await new Promise((resolve) => setTimeout(resolve, 300 + ((round * 197) % 1_000)));
  // Alone: a push that it began may go on, as at a host that was already told.
  child.kill("SIGKILL");
  await ended;
  return output
    .split("\n")
    .slice(0, -1)
    .filter((line) => /^[0-9a-f]{40}$/.test(line));
}
