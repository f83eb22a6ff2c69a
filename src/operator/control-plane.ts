// The operator without its Kubernetes: sources in, Git and the registry out.

import type { ResourceView } from "../api/control.ts";
import type { ControlClient } from "../client/control-client.ts";
import type { ResourceKey } from "../domain/resource.ts";
import type { SecretSource } from "../domain/secrets.ts";
import type { Logger } from "../observability/logger.ts";
import type { GitRecord } from "../record/repository.ts";
import type { FileProblem } from "../record/yaml-file.ts";
import type { Grant } from "./grants.ts";
import type { UsersSecret } from "./known-users.ts";
import type { JobKind, JobOutcome, JobRunner, ResourceSource, SourceProblem } from "./ports.ts";
import { Rounds } from "./rounds.ts";

export interface ControlPlaneOptions {
  readonly source: ResourceSource;
  /** Opened and closed by the caller. */
  readonly record: GitRecord;
  readonly client: ControlClient;
  readonly jobs: JobRunner;
  readonly logger: Logger;
  /** Grants of the settings. */
  readonly tenants: readonly Grant[];
  /** Where `secretRef`s are looked up for the conditions. */
  readonly secrets?: SecretSource;
  /** The Secret that holds the users whom AccessPolicies name; without it nothing is said of them. */
  readonly users?: UsersSecret;
  /** The namespace that needs no grant. */
  readonly administrators?: string;
  /** Field manager that the commits name. */
  readonly appliedBy?: string;
  /** Milliseconds: between two looks at everything, and until what the registry refused is offered again. */
  readonly times?: { readonly lookAgainAfter?: number; readonly refusedAgainAfter?: number };
}

export interface RecordStatus {
  readonly head: string | null;
  /** As last heard from the registry. */
  readonly published: string | null;
  /** Files of the record that no resource stands behind. */
  readonly orphans: readonly ResourceKey[];
  /** Files that are not valid, with their lines. */
  readonly problems: readonly FileProblem[];
  /** Fields of its valid files that are kept and ignored. */
  readonly warnings: readonly FileProblem[];
  /** What waits for a person, and what the person has to do. */
  readonly waiting: readonly string[];
  /** Documents of the source that are no resources at all, so no condition can say it. */
  readonly sourceProblems: readonly SourceProblem[];
}

export interface FirstPublish {
  /** What the registry serves now. */
  readonly revision: string | null;
  /** Why it is not what Git says. */
  readonly problem: string | undefined;
}

export interface ControlPlane {
  /** Every resource with its conditions. */
  views(): readonly ResourceView[];
  record(): RecordStatus;
  /** The first publish is done, or failed: then the registry serves what it had, and it is tried again. */
  readonly ready: Promise<FirstPublish>;
  /** Runs a job of a policy (`namespace/name`) now, or joins the run that is under way. */
  requestRun(kind: JobKind, policy: string): Promise<JobOutcome>;
  stop(): Promise<void>;
}

export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const plane = new Rounds(options);
  plane.start();
  return plane;
}
