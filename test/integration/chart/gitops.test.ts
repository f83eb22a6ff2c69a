// The examples for Flux and Argo CD install what the chart renders.

import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";

import { expect, test } from "vitest";
import { parseAllDocuments } from "yaml";

import { chartFolder, ofKind, render, type Values } from "../../support/chart.ts";

const root = resolve(import.meta.dirname, "../../..");

interface Example {
  readonly kind: string;
  readonly spec: {
    readonly values?: Values;
    readonly chart?: { readonly spec: { readonly chart: string } };
    readonly source?: { readonly path: string; readonly helm?: { readonly valuesObject: Values } };
  };
}

test.each([
  ["flux/release.yaml", ({ spec }: Example) => ({ path: spec.chart?.spec.chart, values: spec.values })],
  ["argocd/applications.yaml", ({ spec }: Example) => ({ path: spec.source?.path, values: spec.source?.helm?.valuesObject })],
])("the values of deploy/%s are values of the chart, which is where it says", async (file, installed) => {
  const documents = parseAllDocuments(await readFile(join(root, "deploy", file), "utf8")).map((each) => each.toJS() as Example);
  const releases = documents.filter(({ spec }) => spec !== undefined).map(installed);
  const { path = "", values } = releases.find((each) => each.values !== undefined) ?? {};
  expect(resolve(root, path)).toBe(chartFolder);
  expect(ofKind(await render(values ?? {}), "Deployment")).not.toEqual([]);
});
