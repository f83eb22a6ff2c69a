// The examples for Flux and Argo CD install what the chart renders.

import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";

import { expect, test } from "vitest";
import { parseAllDocuments } from "yaml";

import { chartFolder, named, render, type Values } from "../../support/chart.ts";

const root = resolve(import.meta.dirname, "../../..");

interface Example {
  readonly kind: string;
  readonly spec: {
    readonly targetNamespace?: string;
    readonly destination?: { readonly namespace: string };
    readonly values?: Values;
    readonly chart?: { readonly spec: { readonly chart: string } };
    readonly source?: { readonly path: string; readonly helm?: { readonly valuesObject: Values } };
  };
}

test.each([
  ["flux", ({ spec }: Example) => ({ path: spec.chart?.spec.chart, values: spec.values })],
  ["argocd", ({ spec }: Example) => ({ path: spec.source?.path, values: spec.source?.helm?.valuesObject })],
])(
  "the values of deploy/%s are values of the chart, which is where it says, and its operator watches where the resources go",
  async (example, installed) => {
    const files = { flux: ["release.yaml", "resources.yaml"], argocd: ["applications.yaml"] }[example] ?? [];
    const texts = await Promise.all(files.map((file) => readFile(join(root, "deploy", example, file), "utf8")));
    const documents = texts.flatMap((text) => parseAllDocuments(text)).map((each) => each.toJS() as Example);
    const releases = documents.filter(({ spec }) => spec !== undefined).map(installed);
    const { path = "", values } = releases.find((each) => each.values !== undefined) ?? {};
    expect(resolve(root, path)).toBe(chartFolder);
    // In the namespaces that they name: of the release, and of the resources.
    const [namespace = "", resources] = documents.flatMap(({ spec }) => spec?.targetNamespace ?? spec?.destination?.namespace ?? []);
    const operator = named(await render(values ?? {}, { namespace }), "Deployment", "wharfinger-operator", namespace);
    expect(operator.spec.template.spec.containers[0]?.args).toContain(`--namespace=${resources}`);
  },
);
