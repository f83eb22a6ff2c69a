// Secrets and ConfigMaps as Kubernetes mounts them: one flat folder, a file a key, `<namespace>_<name>_<key>` (an underscore is in no name).
// Asked by looking: a mount swaps a symbolic link, which notifications miss.

import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

import type { SecretData, SecretSource } from "../domain/secrets.ts";
import type { Logger } from "../observability/logger.ts";

/** Milliseconds between two looks. The kubelet itself takes up to a minute. */
const lookEvery = 2_000;
const fileName = /^(?<namespace>[a-z0-9-]+)_(?<name>[a-z0-9.-]+)_(?<key>[\w.-]+)$/;

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
      const found = await read(folder);
      lastProblem = "";
      if (same(found, current)) return;
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
  const find = (namespace: string, name: string) => current.get(`${namespace}_${name}`);
  return {
    secret: find,
    configMap: find,
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

type Mounted = ReadonlyMap<string, SecretData>;

async function read(folder: string): Promise<Mounted> {
  const names = await readdir(folder).catch((cause: NodeJS.ErrnoException) => {
    throw new Error(`The folder of secrets ${folder} cannot be read (${cause.code ?? cause.message}).`, { cause });
  });
  const found = new Map<string, Map<string, Uint8Array>>();
  // Names with a dot in front are where a mount keeps its originals.
  for (const file of names.filter((name) => !name.startsWith(".")).sort()) {
    const { namespace, name, key } = fileName.exec(file)?.groups ?? {};
    if (namespace === undefined || name === undefined || key === undefined)
      throw new Error(`${join(folder, file)}: name it <namespace>_<name>_<key>, for example default_wharfinger-users_htpasswd.`);
    const whole = `${namespace}_${name}`;
    const data = found.get(whole) ?? new Map<string, Uint8Array>();
    data.set(key, await readFile(join(folder, file)));
    found.set(whole, data);
  }
  return found;
}

function same(left: Mounted, right: Mounted): boolean {
  return (
    left.size === right.size &&
    [...left].every(([name, data]) => {
      const other = right.get(name);
      return other?.size === data.size && [...data].every(([key, bytes]) => Buffer.compare(bytes, other.get(key) ?? Buffer.of()) === 0);
    })
  );
}
