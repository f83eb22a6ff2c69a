// The run that a Pod of jobs acts for (design: access.md, "Control API"): registered by the operator, and only while it is under way.

import { compileSelector } from "../../../domain/glob.ts";
import type { BoundRun } from "../../../domain/control-access.ts";
import { findByRepository } from "../../../domain/upstream-names.ts";
import type { Database } from "../../metadata/database.ts";
import { runOfPod } from "../../metadata/run-pods.ts";
import type { Configuration, ConfigurationSource } from "../configuration/configuration.ts";
import { ServiceError } from "../errors.ts";
import { keyOf, policyScope } from "./policy-scope.ts";

export interface BoundRunsOptions {
  readonly database: Database;
  readonly configuration: ConfigurationSource;
  /** What a namespace's policies may select. */
  readonly granted: (namespace: string, repository: string) => boolean;
}

export class BoundRuns {
  readonly #options: BoundRunsOptions;

  constructor(options: BoundRunsOptions) {
    this.#options = options;
  }

  /** ServiceError DENIED when the Pod has no run that is under way: not yet, or not any more. */
  async of(pod: string | undefined): Promise<BoundRun> {
    if (pod === undefined) {
      throw new ServiceError(
        "DENIED",
        "A job's token counts when it is bound to its Pod, as a projected token is; this one is bound to none.",
      );
    }
    const run = await runOfPod(this.#options.database, pod);
    if (run === undefined)
      throw new ServiceError("DENIED", `No run is registered for Pod ${pod}. The operator does that once the Pod exists.`);
    const { id, kind, policy, state, approved } = run;
    if (state !== "running")
      throw new ServiceError("DENIED", `Run ${id} of Pod ${pod} has ended (${state}): its token is good for nothing any more.`);
    const { configuration, granted } = this.#options;
    const covers = kind === "tag-sync" ? imagesOf : selectedBy(granted);
    return {
      id,
      kind,
      policy,
      ...(approved === null ? {} : { approved }),
      covers: (repository) => covers(configuration.current(), policy, repository),
    };
  }
}

/** The images of a TagPolicy; none when it is gone meanwhile. */
function imagesOf(configuration: Configuration, key: string, name: string): boolean {
  try {
    const { policy, upstream } = policyScope(configuration, key);
    return policy.spec.images.some(({ repository }) => findByRepository(upstream.spec, repository)?.name === name);
  } catch (error) {
    if (error instanceof ServiceError) return false;
    throw error;
  }
}

function selectedBy(granted: BoundRunsOptions["granted"]) {
  return (configuration: Configuration, key: string, name: string): boolean => {
    const policy = configuration.retentionPolicies.find((candidate) => keyOf(candidate) === key);
    return policy !== undefined && compileSelector(policy.spec.repositories)(name) && granted(policy.namespace, name);
  };
}
