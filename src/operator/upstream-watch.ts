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
  let views: ReadonlyMap<string, UpstreamView> = new Map();
  const look = async (): Promise<void> => {
    const answer = await client.upstreams().catch(() => undefined);
    const seen = answer?.map((view) => newest(view, views.get(view.key)));
    const before = known;
    known = seen === undefined ? undefined : summary(seen);
    if (seen === undefined) return;
    views = new Map(seen.map((view) => [view.key, view]));
    if (known !== before) options.changed(seen);
  };
  await look();
  await every(options.interval ?? defaultInterval, options.signal, look);
}

/** One of many processes answers, another one each time, and tells what it has heard itself: the newest counts. */
function newest(now: UpstreamView, before: UpstreamView | undefined): UpstreamView {
  if (before === undefined || now.generation !== before.generation || now.credentialsLoaded !== before.credentialsLoaded) return now;
  if ((now.heardAt ?? "") >= (before.heardAt ?? "")) return now;
  const { rateLimit, ...rest } = before;
  const over = rateLimit?.resetsAt !== undefined && Date.parse(rateLimit.resetsAt) <= Date.now();
  return over ? rest : before;
}

/** What conditions are made of. What an upstream that answers has said last changes with each request. */
function summary(views: readonly UpstreamView[]): string {
  return JSON.stringify(
    views.map(({ key, reachable, message, credentialsLoaded, rateLimit }) => {
      const silent = reachable === "True" && credentialsLoaded;
      return [key, reachable, silent ? "" : message, credentialsLoaded, rateLimit?.remaining === 0 ? [rateLimit.resetsAt] : undefined];
    }),
  );
}
