// Our CustomResourceDefinitions on an API server.

import { readdir, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";

import { parse } from "yaml";

import { answerTo } from "./eventually.ts";
import type { KubernetesApi } from "./kubernetes-access.ts";

interface Definition {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly names: { readonly plural: string } };
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message: string }[] };
}

const ours = resolve(import.meta.dirname, "../../crds");

/** Applies the definitions of a folder (ours by default) and waits until they are served. Rejects with the server's words. */
export async function applyDefinitions(api: KubernetesApi, folder = ours): Promise<void> {
  const names = (await readdir(folder)).filter((name) => name.endsWith(".yaml"));
  const plurals = await Promise.all(names.map(async (name) => applyDefinition(api, await readFile(join(folder, name), "utf8"))));
  await answerTo(`${plurals.join(", ")} are served`, async () => {
    const { body } = await api.send<{ resources?: readonly { readonly name: string }[] }>("GET", "/apis/wharfinger.dev/v1alpha1");
    return plurals.every((plural) => body.resources?.some(({ name }) => name === plural)) ? true : undefined;
  });
}

/** Resolves with its plural name when the server has accepted it. */
async function applyDefinition(api: KubernetesApi, text: string): Promise<string> {
  const definition = parse(text) as Definition;
  const { name } = definition.metadata;
  const path = `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${name}`;
  const { status, body } = await api.send("PATCH", `${path}?fieldManager=tests&force=true&fieldValidation=Strict`, {
    body: definition,
    contentType: "application/apply-patch+yaml",
  });
  if (status !== 200 && status !== 201) throw new Error(`${name} is refused: ${JSON.stringify(body, undefined, 1)}`);
  await answerTo(`${name} is established`, async () => {
    const { status: { conditions = [] } = {} } = (await api.send<Definition>("GET", path)).body;
    return conditions.some(({ type, status }) => type === "Established" && status === "True") ? true : undefined;
  });
  return definition.spec.names.plural;
}
