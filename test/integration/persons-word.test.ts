// What waits for a person names the command that lets it go on, for the folder that is served and no other.

import { execFileSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { eventually } from "../support/eventually.ts";
import { startStandalone, type Standalone } from "../support/standalone.ts";

const program = resolve(import.meta.dirname, "../../src/cli/main.ts");
const names = ["a", "b", "c", "d"];
let running: Standalone;

beforeAll(async () => {
  running = await startStandalone();
});
afterAll(async () => {
  await running.stop();
});

const upstream = (name: string) =>
  `apiVersion: wharfinger.dev/v1alpha1\nkind: Upstream\nmetadata: {name: ${name}}\nspec: {url: "https://${name}.example.org", prefix: ${name}}\n`;
const status = async () => (await running.cli(["record", "status"])).stdout;

test("a removal that waits goes on by the very command that its message names", async () => {
  for (const name of names) writeFileSync(join(running.config, `${name}.yaml`), upstream(name));
  await eventually(async () => expect((await running.cli(["get"])).stdout.match(/Succeeded/g)).toHaveLength(names.length));
  for (const name of names) rmSync(join(running.config, `${name}.yaml`));
  const command = await waitingFor(/npx wharfinger (record confirm-removal [0-9a-f]{40}\/default --data .+)$/m);
  expect(command).toContain(`--data ${running.data}`);
  execFileSync("sh", ["-c", `"${process.execPath}" "${program}" ${command}`], { stdio: "pipe" });
  await eventually(async () => expect((await running.cli(["get"])).stdout).toBe("No resources.\n"));
  await eventually(async () => expect(await status()).not.toContain("Waits for you"));
});

async function waitingFor(pattern: RegExp): Promise<string> {
  let found: string | undefined;
  await eventually(async () => {
    found = pattern.exec(await status())?.[1];
    expect(found).toBeDefined();
  });
  return found ?? "";
}
