// Secrets and ConfigMaps as Kubernetes mounts them: one flat folder, a file a key (domain/mounted-secrets.ts).
//
// The kubelet writes a folder beside the one before and swaps a symbolic link, `..data`, to it. Notifications miss that, so it is looked for; and
// everything is read from where the link led, so that nothing is of one content and something of the next.

import { readdir, readFile, realpath } from "node:fs/promises";
import { join } from "node:path";

import { hashOf, ownerOf, parseFileName, saltFile } from "../domain/mounted-secrets.ts";
import type { SecretData, SecretSource } from "../domain/secrets.ts";
import type { Logger } from "../observability/logger.ts";

/** Milliseconds between two looks. The kubelet itself takes up to a minute. */
const lookEvery = 2_000;
/** Of a folder that is swapped while it is read. */
const attempts = 3;

export interface MountedSecrets extends SecretSource {
  close(): void;
}

/** Rejects when the folder cannot be read, or holds a file whose name is none of these. Later mistakes are logged, and what was read stays. */
export async function openMountedSecrets(folder: string, options: { readonly logger: Logger }): Promise<MountedSecrets> {
  let current = await read(folder);
  const listeners = new Set<() => void>();
  let lastProblem = "";
  const look = async () => {
    try {
      const found = await read(folder, current);
      lastProblem = "";
      if (found === current) return;
      current = found;
      for (const listener of listeners) listener();
    } catch (error) {
      const { message } = error as Error;
      if (message !== lastProblem) options.logger.warn(`secrets stay as they were: ${message}`);
      lastProblem = message;
    }
  };
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  const next = () => {
    timer = setTimeout(() => void look().finally(() => closed || next()), lookEvery).unref();
  };
  next();
  return {
    secret: (namespace, name) => current.data.get(ownerOf({ kind: "Secret", namespace, name })),
    configMap: (namespace, name) => current.data.get(ownerOf({ kind: "ConfigMap", namespace, name })),
    loaded: () => current.hash,
    onChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close: () => {
      closed = true;
      clearTimeout(timer);
    },
  };
}

interface Mounted {
  /** The folder that was read: behind the link, where there is one. */
  readonly place: string;
  readonly data: ReadonlyMap<string, SecretData>;
  readonly hash: string | undefined;
}

/** `before` itself when nothing is different; of a Secret that is as it was the same object. */
async function read(folder: string, before?: Mounted): Promise<Mounted> {
  for (let attempt = 1; ; attempt++) {
    const place = await placeOf(folder);
    // What the kubelet has written it never touches again.
    if (place !== folder && place === before?.place) return before;
    const found = await readPlace(place).catch((error: unknown) => error as Error);
    if ((await placeOf(folder)) !== place && attempt < attempts) continue;
    if (found instanceof Error) throw found;
    return merged(found, before);
  }
}

async function placeOf(folder: string): Promise<string> {
  return realpath(join(folder, "..data")).catch(() => folder);
}

async function readPlace(place: string): Promise<Mounted> {
  const names = await readdir(place).catch((cause: NodeJS.ErrnoException) => {
    throw new Error(`The folder of secrets ${place} cannot be read (${cause.code ?? cause.message}).`, { cause });
  });
  const files = new Map<string, Uint8Array>();
  const data = new Map<string, Map<string, Uint8Array>>();
  // Others with a dot in front are where a mount keeps its originals.
  for (const file of names.filter((name) => !name.startsWith(".") || name === saltFile).sort()) {
    const bytes = await readFile(join(place, file));
    files.set(file, bytes);
    if (file === saltFile) continue;
    const named = parseFileName(file);
    if (named === undefined)
      throw new Error(`${join(place, file)}: name it <namespace>_<name>_<key>, for example default_wharfinger-users_htpasswd.`);
    const keys = data.get(ownerOf(named)) ?? new Map<string, Uint8Array>();
    keys.set(named.key, bytes);
    data.set(ownerOf(named), keys);
  }
  return { place, data, hash: hashOf(files) };
}

function merged(found: Mounted, before: Mounted | undefined): Mounted {
  if (before === undefined) return found;
  const data = new Map([...found.data].map(([name, keys]) => [name, kept(keys, before.data.get(name))]));
  const same =
    found.hash === before.hash && data.size === before.data.size && [...data].every(([name, keys]) => before.data.get(name) === keys);
  return same && found.place === before.place ? before : { ...found, data };
}

function kept(now: SecretData, before: SecretData | undefined): SecretData {
  const same =
    before?.size === now.size &&
    [...now].every(([key, bytes]) => Buffer.compare(bytes, before.get(key) ?? Buffer.of()) === 0 && before.has(key));
  return same ? before : now;
}
