// Runs as they end, whoever started them: a long poll that goes on after the last one heard.

import { setTimeout as sleep } from "node:timers/promises";

import type { FinishedRun } from "../../api/control/runs.ts";
import type { ControlClient } from "../../client/control-client.ts";
import type { Logger } from "../../observability/logger.ts";

const waitSeconds = 25;
/** Milliseconds until a registry that did not answer is asked again, and the longest pause. */
const firstPause = 1_000;
const longestPause = 30_000;

export interface RunWatchOptions {
  readonly signal: AbortSignal;
  /** The last run of each policy, at the start; `untold`: prune runs that ended since the one that Git told of last. */
  readonly begin: (newest: readonly FinishedRun[], untold: readonly FinishedRun[]) => void;
  readonly take: (runs: readonly FinishedRun[]) => void;
  /** Id of the run that Git told of last. */
  readonly told: () => string | undefined;
  readonly logger: Logger;
}

/** Resolves when `signal` ends it. */
export async function watchRuns(client: Pick<ControlClient, "finishedRuns">, options: RunWatchOptions): Promise<void> {
  const { signal, logger } = options;
  let failures = 0;
  let begun = false;
  let after: string | undefined;
  while (!signal.aborted) {
    try {
      if (begun) {
        const runs = await client.finishedRuns({ ...since(after), waitSeconds, signal });
        if (runs.length > 0) options.take(runs);
        after = runs.at(-1)?.id ?? after;
      } else {
        const newest = await client.finishedRuns({ signal });
        options.begin(newest, await untold(client, options));
        after = newest.at(-1)?.id;
        begun = true;
      }
      failures = 0;
    } catch (error) {
      if (signal.aborted) return;
      failures++;
      logger.debug({ error: String(error) }, "runs could not be read; asked again");
      await sleep(Math.min(firstPause * 2 ** (failures - 1), longestPause), undefined, { signal }).catch(() => undefined);
    }
  }
}

/** Of a run that the registry has forgotten, the last prune run of each policy is all that is left to tell. */
async function untold(
  client: Pick<ControlClient, "finishedRuns">,
  { signal, told }: Pick<RunWatchOptions, "signal" | "told">,
): Promise<readonly FinishedRun[]> {
  const found: FinishedRun[] = [];
  for (let after = told(); after !== undefined;) {
    const page = await client.finishedRuns({ after, kind: "prune", signal });
    found.push(...page);
    after = page.at(-1)?.id;
  }
  return found;
}

function since(after: string | undefined): { readonly after?: string } {
  return after === undefined ? {} : { after };
}
