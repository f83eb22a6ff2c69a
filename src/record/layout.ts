// Where things lie in the record (design: record, the tree at its beginning).

import { isKind, kinds, type Kind, type ResourceKey } from "../domain/resource.ts";
import { isRepositoryName } from "../domain/reference.ts";

const folderOf: Record<Kind, string> = {
  Upstream: "upstreams",
  TagPolicy: "tagpolicies",
  RetentionPolicy: "retentionpolicies",
  AccessPolicy: "accesspolicies",
};
const kindOf = new Map(kinds.map((kind) => [folderOf[kind], kind]));

/** A path component of an image never starts with "_", so this name can be no image's. */
const ledgerName = "_ledger.yaml";

/** RFC 1123: what Kubernetes takes as a namespace and as a name. */
const namePattern = /^[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?$/;

export type RecordPath =
  | { readonly type: "resource"; readonly key: ResourceKey }
  | { readonly type: "ledger"; readonly repository: string }
  | { readonly type: "plan"; readonly policy: string };

export function resourcePath(key: ResourceKey): string {
  return `${folderOf[key.kind]}/${key.namespace}/${key.name}.yaml`;
}

/** `repository` with its prefix: cgr/chainguard/nginx. */
export function ledgerPath(repository: string): string {
  return `versions/${repository}/${ledgerName}`;
}

/** `policy`: namespace/name. */
export function planPath(policy: string): string {
  return `plans/${policy}.yaml`;
}

/** What a path of the tree is; undefined for everything that is not the record's (a README, a person's notes). */
export function parsePath(path: string): RecordPath | undefined {
  const parts = path.split("/");
  const [folder = "", namespace = "", file = ""] = parts;
  if (folder === "versions" && parts.at(-1) === ledgerName) {
    const repository = parts.slice(1, -1).join("/");
    return isRepositoryName(repository) ? { type: "ledger", repository } : undefined;
  }
  const name = file.endsWith(".yaml") ? file.slice(0, -".yaml".length) : "";
  if (parts.length !== 3 || !namePattern.test(namespace) || !namePattern.test(name)) return undefined;
  if (folder === "plans") return { type: "plan", policy: `${namespace}/${name}` };
  const kind = kindOf.get(folder);
  return kind === undefined ? undefined : { type: "resource", key: { kind, namespace, name } };
}

/** `Upstream/default/hub`, as the trailer `Resource:` has it. */
export function parseKey(text: string): ResourceKey | undefined {
  const [kind = "", namespace = "", name = "", ...rest] = text.split("/");
  if (rest.length > 0 || !isKind(kind) || !namePattern.test(namespace) || !namePattern.test(name)) return undefined;
  return { kind, namespace, name };
}
