// What the registry says of its Upstreams, asked every few seconds: nobody tells when one becomes unreachable.

import type { UpstreamView } from "../api/control.ts";
import type { ControlClient } from "../client/control-client.ts";
import { every } from "./every.ts";

/** Milliseconds. */
const interval = 10_000;

/** Calls `changed` when something else is said than before. Resolves when `signal` ends it. */
export async function watchUpstreams(
  client: Pick<ControlClient, "upstreams">,
  options: { signal: AbortSignal; changed: (seen: readonly UpstreamView[]) => void },
): Promise<void> {
  let known: string | undefined;
  const look = async (): Promise<void> => {
    const seen = await client.upstreams().catch(() => undefined);
    if (seen === undefined || summary(seen) === known) return;
    known = summary(seen);
    options.changed(seen);
  };
  await look();
  await every(interval, options.signal, look);
}

function summary(views: readonly UpstreamView[]): string {
  return JSON.stringify(views.map(({ key, reachable, message, credentialsLoaded }) => [key, reachable, message, credentialsLoaded]));
}
