// The collector's numbers for people.

import type { GcStatus } from "../../api/control/gc.ts";
import { formatDuration } from "../../domain/duration.ts";
import { formatBytes } from "../../domain/bytes.ts";

export function renderGc(status: GcStatus): string {
  const { queue, due, uploading, live, doomed, doomedBytes, swept, sweptLately, sweptLatelyBytes, paused } = status;
  return [
    `queue      ${queue} (${due} due${oldest(status.oldestDueSeconds)})`,
    `uploading  ${uploading}`,
    `live       ${live}`,
    `doomed     ${doomed} (${formatBytes(doomedBytes)}${oldest(status.oldestDoomedSeconds)})`,
    `swept      ${swept} under way, ${sweptLately} within 24 hours (${formatBytes(sweptLatelyBytes)})`,
    ...paused.map(({ reason, since, detail }) => `paused     ${reason} since ${since}: ${detail}`),
  ].join("\n");
}

function oldest(seconds: number | null): string {
  return seconds === null ? "" : `, the oldest for ${formatDuration(Math.max(Math.round(seconds), 0) * 1000)}`;
}
