// Values may be written as YAML, as JSON, or on the command line, and a settings file of the program too: the same settings come of each.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";
import { stringify } from "yaml";

import { parseSettings } from "../../../src/config/load-settings.ts";
import { chartFolder, everything, objectsOf, settingsText } from "../../support/chart.ts";
import { use } from "../../support/programs.ts";

/** Of each kind of value one: text, number (a large one, which Go writes as 1e+10), quantity, duration, boolean, list of maps, nothing in a list. */
const settings = {
  ...everything.settings,
  access: {
    trustedProxies: ["10.244.3.0/24"],
    admins: [
      { kind: "User", name: "root" },
      { kind: "ServiceAccount", namespace: "ops", name: "admin" },
    ],
  },
  limits: { repositoryBytes: 10_000_000_000, overrides: [{ repositories: ["team-a/**"], repositoryBytes: "50Gi" }] },
  gc: { lease: "1h30m" },
  jobs: { retries: 0, resources: { limits: { cpu: "500m", memory: 268_435_456 } } },
  readOnly: true,
  tenants: [{ namespace: "team-a", repositories: ["team-a/**"], kinds: [] }],
};
const values = { ...everything, settings };

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "wharfinger-formats-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function rendered(...args: readonly string[]) {
  const objects = objectsOf(
    await use("helm", ["template", "wharfinger", chartFolder, "-n", "registry", "--kube-version", "1.35.0", ...args]),
  );
  return parseSettings(settingsText(objects), "settings.yaml");
}

async function file(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

test("YAML in blocks, YAML in one line, JSON, a file for the settings alone, and the command line", async () => {
  const expected = await rendered("--values", await file("block.yaml", stringify(values, { version: "1.1" })));
  expect(expected.limits).toMatchObject({ repositoryBytes: 10_000_000_000, overrides: [{ repositoryBytes: 50 * 2 ** 30 }] });
  expect(expected.access.admins).toHaveLength(3);
  const { settings: _, ...rest } = values;
  const others = await file("others.yaml", stringify(rest, { version: "1.1" }));
  expect(await rendered("--values", await file("values.json", JSON.stringify(values)))).toEqual(expected);
  expect(await rendered("--values", await file("flow.yaml", stringify(values, { version: "1.1", collectionStyle: "flow" })))).toEqual(
    expected,
  );
  expect(await rendered("--values", others, "--values", await file("settings.yaml", stringify({ settings }, { version: "1.1" })))).toEqual(
    expected,
  );
  expect(await rendered("--values", others, "--set-json", `settings=${JSON.stringify(settings)}`)).toEqual(expected);
});

test("the program reads its own file in both, too", () => {
  expect(parseSettings(JSON.stringify(settings, undefined, 2), "settings.json")).toEqual(
    parseSettings(stringify(settings), "settings.yaml"),
  );
});
