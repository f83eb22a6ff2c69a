// What the control plane needs from the world: a source of resources, somebody who runs jobs. Kubernetes in a cluster, a folder in standalone mode.

import type { RecordState } from "../api/control/record.ts";
import type { MountedOwner } from "../domain/mounted-secrets.ts";
import type { Kind, ResourceKey } from "../domain/resource.ts";
import type { WantedSecret } from "./credentials/secret-references.ts";

/** A resource as it was found, not yet judged. */
export interface ObservedResource {
  readonly kind: Kind;
  readonly namespace: string;
  readonly name: string;
  /** metadata.generation; undefined where nobody counts (a folder): then it counts up from what was last recorded. */
  readonly generation: number | undefined;
  /** Of its namespace: one that was deleted and made again has another. Undefined where there is none (a folder). */
  readonly namespaceUid?: string | undefined;
  readonly annotations: Readonly<Record<string, string>>;
  /** The request that was handled last, as its status says; "": none was. Undefined where nobody keeps that (a folder). */
  readonly handledRequest?: string | undefined;
  /** Its status says that it is Ready as it is now. Undefined where nobody keeps that (a folder). */
  readonly wasReady?: boolean | undefined;
  readonly spec: unknown;
  /** For messages: `upstreams.yaml:12`. */
  readonly source: string | undefined;
  /** Line (1-based) of a field in its source, for `spec.prefix` or `spec.images[0].repository`. */
  lineOf(path: string): number | undefined;
}

/** A document that is not even a resource: malformed YAML, an unknown kind, the same name twice. */
export interface SourceProblem {
  readonly source: string;
  readonly line: number | undefined;
  readonly message: string;
}

export interface ResourceSnapshot {
  readonly resources: readonly ObservedResource[];
  readonly problems: readonly SourceProblem[];
  /** false: the source could not be read whole. */
  readonly complete: boolean;
  /**
   * Those that are looked at: who has one of them must not keep what was deleted in others. Undefined where a namespace is only a part of the name (a
   * folder).
   */
  readonly namespaces?: ReadonlyMap<string, ReadNamespace>;
}

export interface ReadNamespace {
  /** false: not all of it could be read. */
  readonly whole: boolean;
  readonly uid: string | undefined;
}

/**
 * What it means that a resource of this namespace is not among those that were found: it is gone, it may be there (not everything could be read), or
 * nobody looks there.
 */
export function meaningOfMissing({ complete, namespaces }: ResourceSnapshot, namespace: string): "gone" | "unread" | "unwatched" {
  if (namespaces === undefined) return complete ? "gone" : "unread";
  const read = namespaces.get(namespace);
  if (read === undefined) return "unwatched";
  return read.whole ? "gone" : "unread";
}

export interface ResourceSource {
  snapshot(): ResourceSnapshot;
  /** Returns the function that ends the subscription. */
  onChange(listener: () => void): () => void;
}

/** How far a Secret or ConfigMap that a resource names has come on its way to the processes of the registry. */
export type DeliveryState =
  /** Every process that lives has it as it is now. */
  | { readonly state: "delivered" }
  /** `served`: what it was before is in use meanwhile; undefined: a process before this one would have to say that. */
  | { readonly state: "onItsWay"; readonly served: boolean | undefined; readonly reason: string; readonly message: string }
  /** A person has to change something. */
  | { readonly state: "refused"; readonly reason: string; readonly message: string }
  /** It could not be read, so nobody knows whether it is there. `served`: as above. */
  | { readonly state: "unread"; readonly served: boolean | undefined; readonly reason: string; readonly message: string }
  /** Not every process says what it has: somebody else brings it there. */
  | { readonly state: "unsaid" };

/** Brings Secrets to the processes of the registry. Where these read them where the control plane does, there is none. */
export interface CredentialsDelivery {
  /** All that resources name. `keepOthers`: not everything that is wanted may be among them. */
  want(secrets: readonly WantedSecret[], options: { readonly keepOthers: boolean }): void;
  /** What the processes that live have. */
  heard(pods: RecordState["pods"]): void;
  stateOf(owner: MountedOwner): DeliveryState;
  onChange(listener: () => void): () => void;
}

export type JobKind = "tag-sync" | "prune";

export interface JobOutcome {
  readonly run: string;
  readonly succeeded: boolean;
  readonly message: string;
  readonly result: unknown;
}

export interface JobRequest {
  readonly kind: JobKind;
  /** namespace/name */
  readonly policy: string;
  readonly trigger: "schedule" | "manual";
  /** prune: the plan, stopped by the limits, that a person approved. */
  readonly approve?: string;
}

export function policyOf({ kind, policy }: Pick<JobRequest, "kind" | "policy">): ResourceKey {
  const [namespace = "", name = ""] = policy.split("/");
  return { kind: kind === "prune" ? "RetentionPolicy" : "TagPolicy", namespace, name };
}

/** A job as the schedules want it. */
export interface ScheduledJob extends JobRequest {
  /** What makes it this one: the time of the schedule, the request of a person. Two who want the same want one job. At most 10 of a-z and 0-9. */
  readonly slot: string;
}

export interface UnfinishedJob {
  readonly job: ScheduledJob;
  /** RFC 3339 */
  readonly startedAt: string;
}

export interface JobRunner {
  /**
   * Runs one job of one policy to its end. Never rejects: a failure is an outcome. Undefined: there is nothing to tell, because the job goes on
   * without this process, or another one has told of it. A `signal` whose reason is RunHalted ends the job, any other only the wait for it.
   */
  run(job: ScheduledJob, signal: AbortSignal): Promise<JobOutcome | undefined>;
  /** Jobs that a process before this one began and that go on. Never rejects. */
  unfinished?(): Promise<readonly UnfinishedJob[]>;
}

/** Why a job must end before it is done: its policy is gone, or suspended. */
export class RunHalted extends Error {
  override readonly name = "RunHalted";
}
