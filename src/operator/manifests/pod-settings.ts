// What the operator's own settings say of the Pods of jobs. Nothing else does.

import { formatDuration } from "../../domain/duration.ts";
import type { JobsSettings, Settings } from "../../config/settings.ts";

export interface PodSettings extends JobsSettings {
  readonly image: string;
  readonly serviceAccount: string;
  /** Of their tokens. */
  readonly audience: string;
  /** scheme://host:port of the registry's control API. */
  readonly registry: string;
  /** The same of its images. */
  readonly pullFrom: string;
  /** PEM of who signed its certificate; undefined: somebody whom Node knows. */
  readonly authority?: string | undefined;
}

/** Undefined: jobs are to run inside of the process. Throws an Error that says which setting is missing. */
export function podSettings(
  { jobs, externalURL, access }: Settings,
  { namespace, registry, pullFrom }: { readonly namespace: string; readonly registry: string; readonly pullFrom: string },
): PodSettings | undefined {
  const { image } = jobs;
  if (image === undefined) return undefined;
  if (externalURL === undefined) throw new Error("The setting jobs.image needs externalURL: the tokens of Pods are for that host.");
  const account = access.jobs;
  if (account === undefined)
    throw new Error(
      `The setting jobs.image needs access.jobs, the ServiceAccount of the Pods: for example access: {jobs: {namespace: ${namespace}, name: wharfinger-jobs}}, also in the registry's settings.`,
    );
  if (account.namespace !== namespace)
    throw new Error(
      `The setting access.jobs names a ServiceAccount of namespace ${account.namespace}, but jobs run in the operator's own, ${namespace}: the first that --namespace names.`,
    );
  if (jobs.startWithin >= jobs.deadline)
    throw new Error(
      `The setting jobs.deadline (${formatDuration(jobs.deadline)}) must be longer than jobs.startWithin (${formatDuration(jobs.startWithin)}).`,
    );
  return { ...jobs, image, serviceAccount: account.name, audience: new URL(externalURL).host, registry, pullFrom };
}
