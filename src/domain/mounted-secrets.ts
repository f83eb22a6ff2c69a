// Secrets and ConfigMaps in one flat folder, or as the keys of one Secret that is mounted there: a file a key.

import { createHash } from "node:crypto";

export interface MountedKey {
  readonly kind: "Secret" | "ConfigMap";
  readonly namespace: string;
  readonly name: string;
  /** Of the Secret or ConfigMap. */
  readonly key: string;
}

/** A Secret or ConfigMap. */
export type MountedOwner = Omit<MountedKey, "key">;

const form = /^(?<kind>ConfigMap_)?(?<namespace>[a-z0-9-]+)_(?<name>[a-z0-9.-]+)_(?<key>[\w.-]+)$/;

/** As Kubernetes has it for the keys of a Secret. */
export const longestFileName = 253;

/**
 * `<namespace>_<name>_<key>` of a Secret, and `ConfigMap_` before that of a ConfigMap. It means one thing: no namespace and no name has an
 * underscore, and no namespace a capital.
 */
export function fileNameOf({ kind, namespace, name, key }: MountedKey): string {
  return `${kind === "ConfigMap" ? "ConfigMap_" : ""}${namespace}_${name}_${key}`;
}

/** Undefined: it is not of that form. */
export function parseFileName(file: string): MountedKey | undefined {
  const { kind, namespace, name, key } = form.exec(file)?.groups ?? {};
  if (namespace === undefined || name === undefined || key === undefined) return undefined;
  return { kind: kind === undefined ? "Secret" : "ConfigMap", namespace, name, key };
}

/** Which Secret or ConfigMap: for maps. */
export function ownerOf({ kind, namespace, name }: MountedOwner): string {
  return `${kind} ${namespace}/${name}`;
}

/** The file that makes hashes tell nothing to whoever guesses at a password; whoever fills the folder for others to compare writes it. */
export const saltFile = ".salt";

/**
 * What was loaded, to be compared. Undefined without a salt: then nobody compares. Where nothing is, there is nothing to guess at: a mount that waits
 * for its first Secret says that it is empty.
 */
export function hashOf(files: ReadonlyMap<string, Uint8Array>): string | undefined {
  return files.size > 0 && !files.has(saltFile) ? undefined : contentHash(files);
}

/** SHA-256 of names and bytes, in whatever order they are, as hexadecimal digits. Never to be shown: whoever guesses at a password could compare. */
export function contentHash(files: ReadonlyMap<string, Uint8Array>): string {
  const hash = createHash("sha256");
  for (const [file, bytes] of [...files].sort(([a], [b]) => (a < b ? -1 : 1))) hash.update(`${file} ${bytes.byteLength}\n`).update(bytes);
  return hash.digest("hex");
}
