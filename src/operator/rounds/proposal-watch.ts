// Proposals as they come: a long poll, each answer handed over and settled before the next question.

import { setTimeout as sleep } from "node:timers/promises";

import type { Proposal } from "../../api/control/proposals.ts";
import type { ControlClient } from "../../client/control-client.ts";
import type { Logger } from "../../observability/logger.ts";

const waitSeconds = 25;
/** Milliseconds until proposals that could not be settled are looked at again, and the longest pause. */
const firstPause = 1_000;
const longestPause = 30_000;

/** Resolves when `signal` ends it. */
export async function watchProposals(
  client: Pick<ControlClient, "waitingProposals">,
  options: { signal: AbortSignal; take: (proposals: readonly Proposal[]) => Promise<void>; logger: Logger },
): Promise<void> {
  const { signal, take, logger } = options;
  let failures = 0;
  let before = "";
  while (!signal.aborted) {
    try {
      const proposals = await client.waitingProposals({ waitSeconds, signal });
      const ids = proposals.map(({ id }) => id).join(" ");
      // The same ones again: the round could not settle them.
      failures = proposals.length > 0 && ids === before ? failures + 1 : 0;
      before = ids;
      if (failures > 0) await sleep(Math.min(firstPause * 2 ** (failures - 1), longestPause), undefined, { signal });
      if (proposals.length > 0) await take(proposals);
    } catch (error) {
      if (signal.aborted) return;
      failures++;
      logger.debug({ error: String(error) }, "proposals could not be read; asked again");
      await sleep(Math.min(firstPause * 2 ** (failures - 1), longestPause), undefined, { signal }).catch(() => undefined);
    }
  }
}
