// RetentionPolicies over a registry's own repositories: published as the operator does, planned and applied as their job does.

import { randomUUID } from "node:crypto";

import type { PublishRequest } from "../../src/api/control/record.ts";
import type { PlanEntry } from "../../src/api/control/retention.ts";
import type { Digest } from "../../src/domain/digest.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { ConfigurationStore } from "../../src/registry/services/configuration/configuration-store.ts";
import { History } from "../../src/registry/services/history.ts";
import { PublishService } from "../../src/registry/services/configuration/publish.ts";
import { RetentionService } from "../../src/registry/services/retention/retention.ts";
import { Workloads } from "../../src/registry/services/retention/workloads.ts";
import { longTimes, openOwnRegistry, pushImage, reader, type OwnRegistry } from "./own-registry.ts";

export const repository = "team-a/app";

interface RetentionServices {
  readonly retention: RetentionService;
  readonly workloads: Workloads;
}

export interface RetentionWorld extends RetentionServices {
  readonly registry: OwnRegistry;
  readonly history: History;
  /** The services of a process whose settings name these clusters. */
  asking(clusters: readonly string[]): RetentionServices;
  /** Publishes these policies, by name, and nothing else but `more`. */
  publish(policies: Readonly<Record<string, object>>, more?: Partial<PublishRequest>): Promise<void>;
  tagsOf(name?: string): Promise<readonly string[]>;
  /** Images `build-1` to `build-<count>`, in that order. */
  pushBuilds(count: number): Promise<Digest[]>;
  /** Makes everything look as if it had happened `hours` earlier. */
  age(hours: number): Promise<void>;
  close(): Promise<void>;
}

/** Tags that end with `.keep` are protected; no cluster is asked. */
export async function openRetention(): Promise<RetentionWorld> {
  const registry = await openOwnRegistry();
  await registry.setTimes({ ...longTimes, lease: 0 });
  const { database } = registry;
  const logger = createLogger({ level: "silent" });
  const configuration = new ConfigurationStore({ database, pod: "test", logger });
  const history = new History({ database, logger });
  const isProtected = (_: string, tag: string) => tag.endsWith(".keep");
  let base: string | null = null;
  const asking = (clusters: readonly string[]) => {
    const workloads = new Workloads({ database, configuration, clusters });
    const pullsCounted = { own: true, proxied: false };
    return { workloads, retention: new RetentionService({ database, configuration, pullsCounted, isProtected, history, workloads }) };
  };
  return {
    registry,
    history,
    asking,
    ...asking([]),
    publish: async (policies, more = {}) => {
      const revision = randomUUID();
      const resources = Object.entries(policies).map(([name, { suspend = false, ...spec }]: [string, { suspend?: boolean }]) => {
        return { kind: "RetentionPolicy" as const, namespace: "default", name, generation: 1, revision, suspend, spec };
      });
      const { resources: others = [], ...rest } = more;
      const service = new PublishService({ database, configuration });
      await service.publish({ revision, base, resources: [...resources, ...others], ledgers: {}, settled: [], ...rest });
      base = revision;
    },
    tagsOf: async (name = repository) => (await registry.pull.tags(name, reader, { limit: 100 })).tags,
    pushBuilds: async (count) => {
      const digests: Digest[] = [];
      for (let build = 1; build <= count; build++) digests.push((await pushImage(registry.push, repository, [`build-${build}`])).digest);
      return digests;
    },
    age: async (hours) => {
      for (const [table, column] of [
        ["tags", "updated_at"],
        ["manifests", "pushed_at"],
        ["manifests", "untagged_since"],
        ["manifests", "keep_until"],
        ["installation", "created_at"],
      ]) {
        await registry.rows(`UPDATE ${table} SET ${column} = ${column} - make_interval(hours => $1)`, [hours]);
      }
    },
    close: async () => {
      await history.stop();
      await registry.close();
    },
  };
}

/** A policy that deletes what these rules do not keep, however much that is. */
export const spec = (keep: readonly object[], more: object = {}) => ({
  repositories: { include: ["team-a/**"] },
  action: "Delete",
  keep,
  limits: { maxDeletePercent: 100 },
  ...more,
});

/** What a plan deletes, in its order. */
export const deletes = ({ entries }: { entries: readonly PlanEntry[] }) =>
  entries.filter(({ verdict }) => verdict === "delete").map(({ tag, digest }) => tag ?? digest);

export const names = (entries: readonly PlanEntry[]) => entries.map(({ tag, digest }) => tag ?? digest).sort();
