// The jobs, by their names.

import type { Run } from "../api/control/runs.ts";
import type { ControlClient } from "../client/control-client.ts";
import type { RegistryClient } from "../client/registry-client.ts";
import { runPrune } from "./prune.ts";
import type { RunEnd } from "./reported-run.ts";
import { runTagSync } from "./tag-sync.ts";

export interface JobContext {
  readonly control: ControlClient;
  readonly registry: RegistryClient;
  /** Id of a run that is registered. */
  readonly run: string;
  /** prune: the stopped plan that a person approved. */
  readonly approve?: string;
  readonly signal: AbortSignal;
  /** One line for a person, as it happens. */
  readonly progress: (line: string) => void;
}

export const jobs: Readonly<Record<Run["kind"], (context: JobContext) => Promise<RunEnd<object>>>> = {
  "tag-sync": runTagSync,
  prune: runPrune,
};
