// The store is lost, and what another registry still has of it is brought back by the means that the guide names (backup-and-restore.md).

import { readdir, rm } from "node:fs/promises";
import { join, resolve } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import type { AdoptReport } from "../../src/api/control/audit.ts";
import type { Pushed } from "../../src/import/import-source.conformance.ts";
import type { ImportResult } from "../../src/import/report.ts";
import { program, use } from "../support/programs.ts";
import { adminToken, startTestRegistry, type TestRegistry } from "../support/registry.ts";
import { pushList, pushManifest } from "../support/source-content.ts";

const main = resolve(import.meta.dirname, "../../src/cli/main.ts");
const environment = { WHARFINGER_TOKEN: adminToken, DOCKER_CONFIG: "/nonexistent" };
let source: TestRegistry;
let registry: TestRegistry;
beforeAll(async () => {
  [source, registry] = await Promise.all([startTestRegistry(), startTestRegistry()]);
});
afterAll(async () => {
  await Promise.all([source?.stop(), registry?.stop()]);
});

const cli = (...args: string[]) =>
  program(process.execPath, [main, ...args, "--registry", registry.url, "-o", "json"], { env: environment });
const hostOf = ({ url }: TestRegistry) => new URL(url).host;
const crane = (...args: string[]) => use("crane", [...args, "--insecure"]);
const isWhole = async (repository: string, { digest }: Pushed, bytes: string) => {
  const { layers } = (await (await fetch(`${registry.url}/v2/${repository}/manifests/${digest}`)).json()) as { layers: Pushed[] };
  return (await (await fetch(`${registry.url}/v2/${repository}/blobs/${layers[0]!.digest}`)).text()) === bytes;
};

test("an import brings lost images back, tagged and in indexes; a client that asks for the manifest alone needs the tag deleted", async () => {
  const app = await pushManifest(source.url, "team/app", { layers: [{ bytes: "app" }], config: "{}", tag: "1.0" });
  const child = await pushManifest(source.url, "team/multi", { layers: [{ bytes: "child" }], config: '{"of": "child"}' });
  await pushList(source.url, "team/multi", [child], "all");
  const tool = await pushManifest(source.url, "crane/tool", { layers: [{ bytes: "tool" }], config: '{"of": "tool"}', tag: "1.0" });
  expect((await cli("import", source.url)).code).toBe(0);

  const objects = join(registry.folder, "blobs/objects");
  for (const name of await readdir(objects)) await rm(join(objects, name), { recursive: true });
  const adopted = await cli("audit", "--adopt");
  expect([adopted.code, adopted.stderr]).toEqual([1, expect.stringContaining("delete the tag first")]);
  expect((JSON.parse(adopted.stdout) as AdoptReport).lost).toHaveLength(6);
  const broken = await cli("audit");
  expect([broken.code, broken.stdout]).toEqual([1, expect.stringContaining(`team/app@${app.digest}`)]);

  // As adopted.stderr says.
  const [from, to] = [`${hostOf(source)}/crane/tool:1.0`, `${hostOf(registry)}/crane/tool:1.0`];
  await crane("copy", from, to);
  expect(await isWhole("crane/tool", tool, "tool")).toBe(false);
  await crane("delete", to);
  await crane("copy", from, to);
  expect(await isWhole("crane/tool", tool, "tool")).toBe(true);

  expect((await fetch(`${registry.url}/v2/team/app/manifests/1.0`, { method: "DELETE" })).status).toBe(202);
  const dry = JSON.parse((await cli("import", source.url, "--dry-run")).stdout) as ImportResult;
  expect(dry.blobs).toMatchObject({ copied: 4 });
  const again = await cli("import", source.url);
  expect([again.code, JSON.parse(again.stdout)]).toMatchObject([
    0,
    { problems: [], tags: { created: 1, unchanged: 2 }, manifests: { copied: 0, present: 4 }, blobs: { copied: 4, present: 0 } },
  ]);
  expect(await isWhole("team/app", app, "app")).toBe(true);
  expect(await isWhole("team/multi", child, "child")).toBe(true);
  expect(JSON.parse((await cli("audit", "--deep")).stdout)).toMatchObject({ findings: [] });
});
