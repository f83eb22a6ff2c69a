// Names in resources that lead to other documents: Upstreams, Secrets, ConfigMaps. Judged on what was written, so that one mistake does not hide the next.

import type { SecretData } from "../domain/secrets.ts";
import { namesOfKeys } from "../domain/registry-login.ts";
import { readTrustedRoot, trustedRootKey } from "../domain/trusted-root.ts";
import type { Documents, ResourceDocument } from "./documents.ts";
import { isObject } from "./structure.ts";

export interface Dangling {
  readonly document: ResourceDocument;
  readonly path: string;
  readonly message: string;
}

interface Reference {
  readonly path: string;
  readonly to: "Upstream" | "Secret" | "ConfigMap";
  readonly name: string;
  /** What is wrong with the data, as the end of a sentence. */
  readonly problemOf?: (data: SecretData) => string | undefined;
}

/** References of all resources that lead nowhere within `documents`. `isWrong`: whether errors were found in a resource. */
export function findDangling(documents: Documents, isWrong: (document: ResourceDocument) => boolean): Dangling[] {
  return documents.resources.flatMap((document) =>
    referencesOf(document).flatMap((reference) => {
      const message = problemOf(reference, document.namespace, documents, isWrong);
      return message === undefined ? [] : [{ document, path: reference.path, message }];
    }),
  );
}

function problemOf(
  { to, name, problemOf }: Reference,
  namespace: string,
  { resources, secrets }: Documents,
  isWrong: (document: ResourceDocument) => boolean,
): string | undefined {
  const named = `${to} ${namespace}/${name}`;
  const is = (candidate: { kind: string; namespace: string; name: string }) =>
    candidate.kind === to && candidate.namespace === namespace && candidate.name === name;
  if (to === "Upstream") {
    const upstream = resources.find(is);
    if (upstream === undefined) return `there is no ${named} in these files: create it, or name another one of the same namespace`;
    return isWrong(upstream) ? `${named} is in these files and not valid: mend it first` : undefined;
  }
  const secret = secrets.find(is);
  if (secret === undefined) return `there is no ${named} in these files: nothing is read without it`;
  const problem = problemOf?.(secret.data);
  return problem === undefined ? undefined : `${named} ${problem}`;
}

function publicKeysIn(data: SecretData): string | undefined {
  return [...data.keys()].some((key) => key.endsWith(".pub")) ? undefined : `has no key that ends in .pub (${namesOfKeys(data)})`;
}

function trustedRootIn(data: SecretData): string | undefined {
  const bytes = data.get(trustedRootKey);
  if (bytes === undefined) return `has no key ${trustedRootKey} (${namesOfKeys(data)})`;
  const root = readTrustedRoot(new TextDecoder().decode(bytes));
  return "problem" in root ? `has no trusted root in ${trustedRootKey}, it ${root.problem}` : undefined;
}

function referencesOf({ kind, spec }: ResourceDocument): Reference[] {
  const secret = (...path: readonly (string | number)[]) => reference(spec, path, "Secret");
  const dataIn = (found: Reference[], problemOf: Reference["problemOf"]) => found.map((one) => ({ ...one, problemOf }));
  if (kind === "Upstream") return [...secret("auth", "secretRef"), ...secret("certSecretRef")];
  if (kind !== "TagPolicy") return [];
  const keys = at(at(spec, "verify"), "keys");
  const count = Array.isArray(keys) ? keys.length : 0;
  return [
    ...reference(spec, ["upstreamRef"], "Upstream"),
    ...Array.from({ length: count }, (_, index) => index).flatMap((index) =>
      dataIn(secret("verify", "keys", index, "secretRef"), publicKeysIn),
    ),
    ...dataIn(reference(spec, ["verify", "trustedRoot", "configMapRef"], "ConfigMap"), trustedRootIn),
  ];
}

/** The `name` of the object at `path` below spec, if there is one. */
function reference(spec: unknown, path: readonly (string | number)[], to: Reference["to"]): Reference[] {
  const name = at(path.reduce<unknown>(at, spec), "name");
  if (typeof name !== "string" || name === "") return [];
  const text = path.map((segment) => (typeof segment === "number" ? `[${segment}]` : `.${segment}`)).join("");
  return [{ path: `spec${text}.name`, to, name }];
}

function at(value: unknown, field: string | number): unknown {
  if (Array.isArray(value)) return typeof field === "number" ? (value[field] as unknown) : undefined;
  return isObject(value) && Object.hasOwn(value, field) ? value[field] : undefined;
}
