// Ready = the schema is known (the process started), database and blob store answer, and an orderly stop has not begun. An empty record is
// valid and served. Never depends on the operator, Git or an upstream.

import type { ControlPlaneStatus } from "../../../api/control/record.ts";
import type { BlobStore } from "../../blobs/blob-store.ts";
import type { Database } from "../../metadata/database.ts";
import { readGcPauses } from "../../metadata/gc-pauses.ts";
import { askDatabase } from "../../metadata/health.ts";
import { refusedResources } from "../../metadata/record.ts";
import type { Configuration } from "../configuration/configuration.ts";

export interface ReadinessCheck {
  /** `database`, `blobs`, `record`, `collector`, `process`. */
  readonly name: string;
  readonly ready: boolean;
  /** What is found, in words. */
  readonly message: string;
}

export interface ReadinessOptions {
  readonly database: Database;
  readonly store: BlobStore;
  readonly configuration: { current(): Pick<Configuration, "revision"> };
  readonly stopping: AbortSignal;
  /** What a person should know of Git, where the control plane runs in the same process. */
  readonly controlPlane?: () => ControlPlaneStatus | undefined;
  /** Told of what was found, each time. */
  readonly looked?: ((checks: readonly ReadinessCheck[]) => void) | undefined;
}

/** Milliseconds for a part to answer. */
const patience = 2_000;

/** Checks all parts anew at each call; never rejects. What only a person reads is asked when `detailed`: a probe costs one small question. */
export type Readiness = (asked: { readonly detailed: boolean }) => Promise<readonly ReadinessCheck[]>;

export function readinessOf(options: ReadinessOptions): Readiness {
  const { database, store, stopping } = options;
  return async ({ detailed }) => {
    // What Git holds and cannot be served is for people to read, not a reason to take the registry away.
    // Nor is what the collector must not delete.
    const forPeople = async (name: string, ask: () => Promise<string>) => ({ ...(await check(name, ask)), ready: true });
    const checks = await Promise.all([
      check("database", async () => {
        await askDatabase(database);
        return "answers";
      }),
      check("blobs", async () => {
        const free = await store.freeBytes();
        return free === undefined ? "answers" : `answers, ${free} bytes free`;
      }),
      ...(detailed ? [forPeople("record", () => describeRecord(options)), forPeople("collector", () => describeCollector(database))] : []),
    ]);
    const found = [...checks, processCheck(stopping)];
    options.looked?.(found);
    return found;
  };
}

async function describeCollector(database: Database): Promise<string> {
  const pauses = await readGcPauses(database);
  if (pauses.length === 0) return "deletes what nothing names any more";
  return pauses.map(({ reason, since, detail }) => `paused since ${since} (${reason}): ${detail}`).join("; ");
}

async function describeRecord({ database, configuration, controlPlane }: ReadinessOptions): Promise<string> {
  const { revision } = configuration.current();
  const refused = await refusedResources(database);
  const { problems = [], waiting = [] } = controlPlane?.() ?? {};
  return [
    revision === null ? "nothing was published yet" : `serves ${revision}`,
    ...refused.map(({ kind, namespace, name, reason, message }) => `not served: ${kind} ${namespace}/${name}: ${reason}: ${message}`),
    ...problems.map(
      ({ file, line, message }) => `served as of an earlier commit: ${file}${line === undefined ? "" : `:${line}`}: ${message}`,
    ),
    ...waiting.map((what) => `waits: ${what}`),
  ].join("; ");
}

function processCheck(stopping: AbortSignal): ReadinessCheck {
  return { name: "process", ready: !stopping.aborted, message: stopping.aborted ? "is stopping" : "runs" };
}

async function check(name: string, ask: () => Promise<string>): Promise<ReadinessCheck> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${patience / 1000} s`)), patience);
  });
  try {
    return { name, ready: true, message: await Promise.race([ask(), late]) };
  } catch (error) {
    return { name, ready: false, message: (error as Error).message };
  } finally {
    clearTimeout(timer);
  }
}
