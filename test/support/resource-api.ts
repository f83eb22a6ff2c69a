// Our resources as an API server takes them.

import type { Kind } from "../../src/domain/resource.ts";
import { paths } from "../../src/operator/kube/objects.ts";
import type { ResourceDocument } from "../../src/validation/documents.ts";
import type { Answer, Failure, KubernetesApi } from "./kubernetes-access.ts";

export interface StoredResource {
  readonly metadata: { readonly name: string; readonly resourceVersion: string; readonly generation: number };
  readonly spec: Readonly<Record<string, unknown>>;
  readonly status?: Readonly<Record<string, unknown>>;
}

export type WrittenResource = Pick<ResourceDocument, "kind" | "name" | "spec">;

/** Path of the resources of a kind in a namespace, or of one of them. */
export function resourcePath(kind: Kind, namespace: string, name?: string): string {
  return name === undefined ? paths.resources(kind, namespace) : `${paths.resources(kind, namespace)}/${name}`;
}

export function toObject({ kind, name, spec }: WrittenResource) {
  return { apiVersion: "wharfinger.dev/v1alpha1", kind, metadata: { name }, spec };
}

/** As kubectl sends it: unknown fields are refused. `dryRun`: judged and not kept. */
export async function create(
  api: KubernetesApi,
  document: WrittenResource,
  { namespace, dryRun = false }: { readonly namespace: string; readonly dryRun?: boolean },
): Promise<Answer<StoredResource | Failure>> {
  const query = `fieldValidation=Strict${dryRun ? "&dryRun=All" : ""}`;
  return api.send("POST", `${resourcePath(document.kind, namespace)}?${query}`, { body: toObject(document) });
}

/** Writes `document` over what is stored. */
export async function update(
  api: KubernetesApi,
  document: WrittenResource,
  { namespace, over }: { readonly namespace: string; readonly over: StoredResource },
): Promise<Answer<StoredResource | Failure>> {
  const { resourceVersion } = over.metadata;
  const body = { ...toObject(document), metadata: { name: document.name, resourceVersion } };
  return api.send("PUT", `${resourcePath(document.kind, namespace, document.name)}?fieldValidation=Strict`, { body });
}

/** What was accepted; rejects with the server's words, and `what`, when it was not. */
export function accepted({ status, body }: Answer<StoredResource | Failure>, what = ""): StoredResource {
  if (status !== 200 && status !== 201) throw new Error(`${what} is refused with ${status}: ${(body as Failure).message}`);
  return body as StoredResource;
}
