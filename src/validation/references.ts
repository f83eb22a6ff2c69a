// Names in resources that lead to other documents: Upstreams, Secrets, ConfigMaps. Judged on what was written, so that one mistake does not hide the next.

import { judgePublicKeys } from "../domain/public-key-secret.ts";
import { namesOfKeys } from "../domain/registry-login.ts";
import type { SecretData } from "../domain/secrets.ts";
import { readTrustedRoot, trustedRootKey } from "../domain/trusted-root.ts";
import type { Documents, ResourceDocument } from "./documents.ts";
import { isObject } from "./structure.ts";

export interface Dangling {
  readonly document: ResourceDocument;
  readonly path: string;
  readonly message: string;
  /** What it names is in these files and of no use: no other file can mend that. */
  readonly final: boolean;
}

type Found = Pick<Dangling, "message" | "final">;

interface Reference {
  readonly path: string;
  readonly to: "Upstream" | "Secret" | "ConfigMap";
  readonly name: string;
  /** What is wrong with the data; the message is the end of a sentence. */
  readonly problemOf?: (data: SecretData) => Found | undefined;
}

/** References of all resources that lead nowhere within `documents`. `isWrong`: whether errors were found in a resource. */
export function findDangling(documents: Documents, isWrong: (document: ResourceDocument) => boolean): Dangling[] {
  return documents.resources.flatMap((document) =>
    referencesOf(document).flatMap((reference) => {
      const found = problemOf(reference, document.namespace, documents, isWrong);
      return found === undefined ? [] : [{ document, path: reference.path, ...found }];
    }),
  );
}

function problemOf(
  { to, name, problemOf }: Reference,
  namespace: string,
  { resources, secrets }: Documents,
  isWrong: (document: ResourceDocument) => boolean,
): Found | undefined {
  const named = `${to} ${namespace}/${name}`;
  const is = (candidate: { kind: string; namespace: string; name: string }) =>
    candidate.kind === to && candidate.namespace === namespace && candidate.name === name;
  if (to === "Upstream") {
    const upstream = resources.find(is);
    if (upstream === undefined)
      return elsewhere(`there is no ${named} in these files: create it, or name another one of the same namespace`);
    // It is refused itself.
    return isWrong(upstream) ? elsewhere(`${named} is in these files and not valid: mend it first`) : undefined;
  }
  const secret = secrets.find(is);
  if (secret === undefined) return elsewhere(`there is no ${named} in these files: nothing is read without it`);
  const found = problemOf?.(secret.data);
  return found === undefined ? undefined : { ...found, message: `${named} ${found.message}` };
}

/** The other half may live in files that we were not given. */
const elsewhere = (message: string): Found => ({ message, final: false });

function publicKeysIn(data: SecretData): Found | undefined {
  const judged = judgePublicKeys(data);
  if ("problem" in judged) return { message: judged.problem, final: true };
  const { leftOut } = judged;
  return leftOut.length === 0 ? undefined : { message: `has keys that a run leaves out: ${leftOut.join("; ")}`, final: false };
}

function trustedRootIn(data: SecretData): Found | undefined {
  const bytes = data.get(trustedRootKey);
  if (bytes === undefined) return { message: `has no key ${trustedRootKey} (${namesOfKeys(data)})`, final: true };
  const root = readTrustedRoot(new TextDecoder().decode(bytes));
  return "problem" in root ? { message: `has no trusted root in ${trustedRootKey}, it ${root.problem}`, final: true } : undefined;
}

function referencesOf({ kind, spec }: ResourceDocument): Reference[] {
  const secret = (...path: readonly (string | number)[]) => reference(spec, path, "Secret");
  const dataIn = (found: Reference[], problemOf: Reference["problemOf"]) => found.map((one) => ({ ...one, problemOf }));
  if (kind === "Upstream") return [...secret("auth", "secretRef"), ...secret("certSecretRef")];
  if (kind !== "TagPolicy") return [];
  const count = (list: unknown) => (Array.isArray(list) ? list.length : 0);
  const verify = at(spec, "verify");
  // Without identities nobody reads the root.
  const root = count(at(verify, "keyless")) === 0 ? [] : reference(spec, ["verify", "trustedRoot", "configMapRef"], "ConfigMap");
  return [
    ...reference(spec, ["upstreamRef"], "Upstream"),
    ...Array.from({ length: count(at(verify, "keys")) }, (_, index) => index).flatMap((index) =>
      dataIn(secret("verify", "keys", index, "secretRef"), publicKeysIn),
    ),
    ...dataIn(root, trustedRootIn),
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
