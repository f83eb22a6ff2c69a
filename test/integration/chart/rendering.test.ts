// What is true of every rendering of the chart: the design's "Chart rules".

import { readdir, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";

import { describe, expect, test } from "vitest";
import { parseAllDocuments } from "yaml";

import { parseSettings } from "../../../src/config/load-settings.ts";
import { operatorOptions, reportOptions } from "../../../src/config/options/operator.ts";
import { registryOptions } from "../../../src/config/options/registry.ts";
import {
  chartFolder,
  embedded,
  helmTemplate,
  ofKind,
  production,
  profiles,
  render,
  reporterAlone,
  type Rendered,
  type Values,
} from "../../support/chart.ts";

const root = resolve(import.meta.dirname, "../../..");

const isReporterAlone = (values: Values) => values === reporterAlone;

describe.each(Object.entries(profiles))("%s", (_, values) => {
  test("two renders are byte-equal, and nothing is made twice", async () => {
    const [first, second] = [await helmTemplate(values), await helmTemplate(values)];
    expect(first.stdout).toBe(second.stdout);
    const ids = (await render(values)).map(({ kind, metadata }) => `${kind} ${metadata.namespace ?? ""}/${metadata.name}`);
    expect(ids).toEqual([...new Set(ids)]);
  });

  test("Pods are restricted, and every flag is one of the program's", async () => {
    const tables = { registry: registryOptions, operator: operatorOptions, report: reportOptions };
    for (const { spec } of ofKind(await render(values), "Deployment")) {
      const { containers, securityContext } = spec.template.spec;
      expect(securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } });
      for (const { args, securityContext } of containers) {
        expect(securityContext).toMatchObject({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ["ALL"] },
        });
        const [role = "", ...flags] = args;
        const known = new Set(Object.values(tables[role as keyof typeof tables]).map(({ flags }) => /--[a-z-]+/.exec(flags)?.[0]));
        const given = flags.map((flag) => flag.split("=")[0]);
        expect(given.filter((flag) => !known.has(flag))).toEqual([]);
      }
    }
  });

  test("the program takes the settings", async () => {
    const written = ofKind(await render(values), "ConfigMap").flatMap(({ data }) => data["settings.yaml"] ?? []);
    // A reporter alone has none.
    expect(written).toHaveLength(isReporterAlone(values) ? 0 : 1);
    const role = values === embedded ? "embedded" : "registry";
    for (const text of written) expect(() => parseSettings(text, "settings.yaml", { role })).not.toThrow();
  });

  test("no resource of ours is a part of the release", async () => {
    expect((await render(values)).filter(({ apiVersion }) => apiVersion.startsWith("wharfinger.dev/"))).toEqual([]);
  });
});

test("the chart's program is this one", async () => {
  const { version } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as { readonly version: string };
  const text = await readFile(join(chartFolder, "Chart.yaml"), "utf8");
  expect(parseAllDocuments(text)[0]?.toJS()).toMatchObject({ version, appVersion: version });
});

test("templates ask the cluster nothing and make nothing up", async () => {
  const folders = await readdir(join(chartFolder, "templates"), { recursive: true, withFileTypes: true });
  for (const entry of folders.filter((entry) => entry.isFile())) {
    const text = await readFile(join(entry.parentPath, entry.name), "utf8");
    expect(text).not.toMatch(
      /\{\{[^}]*\b(?:lookup|rand[A-Z]\w*|genCA|genSelfSignedCert|genSignedCert|genPrivateKey|uuidv4|now|htpasswd|bcrypt)\b/,
    );
  }
});

test("definitions are those of crds/, stay by default, and may be left to another release", async () => {
  const definitions = (objects: readonly Rendered[]) => ofKind(objects, "CustomResourceDefinition");
  const names = (await readdir(join(root, "crds"))).sort();
  const written = await Promise.all(
    names.map(async (name) => parseAllDocuments(await readFile(join(root, "crds", name), "utf8"))[0]?.toJS() as Rendered),
  );
  const dropped = definitions(await render({ ...production, crds: { keep: false } }));
  expect(dropped.toSorted((a, b) => a.metadata.name.localeCompare(b.metadata.name))).toEqual(written);
  for (const { metadata } of definitions(await render(production)))
    expect(metadata.annotations).toMatchObject({ "helm.sh/resource-policy": "keep" });
  expect(definitions(await render({ ...production, crds: { enabled: false } }))).toEqual([]);
});
