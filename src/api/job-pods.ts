// What the operator, the Jobs that it makes in a cluster, and the program in their Pods tell each other.

/** On Jobs and their Pods: which job. */
export const jobLabel = "wharfinger.dev/job";

/** On Jobs: what their run is, for the operator that finds them. */
export const jobAnnotations = {
  /** namespace/name */
  policy: "wharfinger.dev/policy",
  trigger: "wharfinger.dev/trigger",
  slot: "wharfinger.dev/slot",
  approve: "wharfinger.dev/approve-plan",
} as const;

/** On Pods of Jobs: who signed the registry's certificate, as a file of theirs. */
export const authorityAnnotation = "wharfinger.dev/registry-ca";

/** Exit code of a job that failed and has told the registry: there is nothing to try again before its next time. */
export const failedAndTold = 3;
