// A job that says nothing for ten minutes counts as dead: it says every half minute how far it is, also while one image takes long.

import type { ControlClient } from "../client/control-client.ts";
import { ClientError } from "../client/errors.ts";

export interface Heartbeat {
  /** Aborts when the registry says that the run has ended: another one took its place. */
  readonly lost: AbortSignal;
  stop(): Promise<void>;
}

const interval = 30_000;

export function startHeartbeat(control: ControlClient, run: string, progress: () => unknown): Heartbeat {
  const lost = new AbortController();
  let beating: Promise<void> = Promise.resolve();
  const beat = async () => {
    try {
      await control.updateRun(run, { progress: progress() });
    } catch (error) {
      // Refused: with its run, the token of a Pod ends too.
      if (error instanceof ClientError && ["Conflict", "NotFound", "Refused"].includes(error.code)) lost.abort(error);
      // Anything else may pass; the work itself will notice what does not.
    }
  };
  const timer = setInterval(() => {
    beating = beat();
  }, interval);
  timer.unref();
  return {
    lost: lost.signal,
    async stop() {
      clearInterval(timer);
      await beating;
    },
  };
}
