// A whole registry in this process on a real socket: real PostgreSQL, a real folder.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { pino } from "pino";

import type { RecordedResource } from "../../src/api/control/record.ts";
import { ControlClient } from "../../src/client/control-client.ts";
import { defaultSettings, type Settings } from "../../src/config/settings.ts";
import { ownerOf, type MountedOwner } from "../../src/domain/mounted-secrets.ts";
import type { SecretData, SecretSource } from "../../src/domain/secrets.ts";
import { startRegistry, type RunningRegistry } from "../../src/registry/main.ts";
import type { RegistryOptions } from "../../src/registry/options.ts";
import { createMigratedDatabase } from "./postgres.ts";

export const adminToken = "test-admin-token";

export interface TestRegistry extends RunningRegistry {
  readonly folder: string;
  readonly databaseUrl: string;
  /** Log lines so far, parsed. */
  readonly log: readonly Record<string, unknown>[];
  readonly secrets: TestSecrets;
}

/** Secrets and ConfigMaps that a test sets. */
export class TestSecrets implements SecretSource {
  readonly #data = new Map<string, SecretData>();
  readonly #listeners = new Set<() => void>();

  secret(namespace: string, name: string): SecretData | undefined {
    return this.#data.get(ownerOf({ kind: "Secret", namespace, name }));
  }

  configMap(namespace: string, name: string): SecretData | undefined {
    return this.#data.get(ownerOf({ kind: "ConfigMap", namespace, name }));
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Undefined takes it away. */
  set(namespace: string, name: string, data: Readonly<Record<string, string>> | undefined): void {
    this.#set({ kind: "Secret", namespace, name }, data);
  }

  /** Undefined takes it away. */
  setConfigMap(namespace: string, name: string, data: Readonly<Record<string, string>> | undefined): void {
    this.#set({ kind: "ConfigMap", namespace, name }, data);
  }

  #set(owner: MountedOwner, data: Readonly<Record<string, string>> | undefined): void {
    const key = ownerOf(owner);
    if (data === undefined) this.#data.delete(key);
    else this.#data.set(key, new Map(Object.entries(data).map(([entry, text]) => [entry, Buffer.from(text)])));
    this.changed();
  }

  protected changed(): void {
    for (const listener of this.#listeners) listener();
  }
}

/** Publishes these as the first revision, `r1`. Rejects when one of them is refused. */
export async function publishFirst(
  url: string,
  resources: readonly (Pick<RecordedResource, "kind" | "name" | "spec"> & Partial<RecordedResource>)[],
): Promise<void> {
  const client = new ControlClient({ url, token: adminToken });
  const common = { namespace: "default", generation: 1, revision: "r1", suspend: false };
  const whole = resources.map((resource) => ({ ...common, ...resource }));
  const { refused = [] } = await client.publish({ revision: "r1", base: null, resources: whole, ledgers: {}, settled: [] });
  await client.close();
  if (refused.length > 0) throw new Error(JSON.stringify(refused));
}

/** Open on loopback by default, and on a database of its own. `stop` drops that and the folder too. */
export async function startTestRegistry(part: Partial<RegistryOptions> & { settings?: Settings } = {}): Promise<TestRegistry> {
  const own = part.database === undefined ? await createMigratedDatabase() : undefined;
  const { url = "" } = part.database ?? own!;
  const folder = await mkdtemp(join(tmpdir(), "registry-"));
  const log: Record<string, unknown>[] = [];
  const secrets = new TestSecrets();
  const running = await startRegistry({
    database: { url },
    blobs: { folder: join(folder, "blobs") },
    listen: { host: "127.0.0.1", port: 0 },
    settings: defaultSettings,
    secrets,
    adminToken,
    openOnLoopback: true,
    allowAnonymous: false,
    version: "0.0.0-test",
    logger: pino({ level: "debug" }, { write: (line: string) => log.push(JSON.parse(line) as Record<string, unknown>) }),
    trustUpstreamHosts: true,
    grace: 2_000,
    ...part,
  });
  return {
    ...running,
    folder,
    databaseUrl: url,
    log,
    secrets,
    stop: async () => {
      await running.stop();
      await own?.drop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
