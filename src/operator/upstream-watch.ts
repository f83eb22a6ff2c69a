// What the registry says of its Upstreams, asked every few seconds: nobody tells when one becomes unreachable.

import type { UpstreamView } from "../api/control/contents.ts";
import type { ControlClient } from "../client/control-client.ts";
import { every } from "./every.ts";

/** Milliseconds. */
const defaultInterval = 10_000;

/**
 * Calls `changed` when something else is said than before, and with the first answer after silence: what failed while the registry was away
 * need not wait for the end of its pause. Resolves when `signal` ends it.
 */
export async function watchUpstreams(
  client: Pick<ControlClient, "upstreams">,
  options: { signal: AbortSignal; changed: (seen: readonly UpstreamView[]) => void; interval?: number },
): Promise<void> {
  let known: string | undefined;
  const look = async (): Promise<void> => {
    const seen = await client.upstreams().catch(() => undefined);
    const before = known;
    known = seen === undefined ? undefined : summary(seen);
    if (seen !== undefined && known !== before) options.changed(seen);
  };
  await look();
  await every(options.interval ?? defaultInterval, options.signal, look);
}

function summary(views: readonly UpstreamView[]): string {
  return JSON.stringify(views.map(({ key, reachable, message, credentialsLoaded }) => [key, reachable, message, credentialsLoaded]));
}
