// wharfinger gc status: what the collector has before it.

import { Command } from "commander";

import type { GcStatus } from "../api/control.ts";
import { ask, clientCommand } from "./command-line.ts";
import { printResult } from "./output.ts";
import { formatBytes } from "../domain/bytes.ts";

export function gcCommand(): Command {
  const status = clientCommand("status", "show what the collector has before it").action((_options: unknown, command: Command) =>
    ask(command, async ({ control }, output) => printResult(output, await control.gc(), render)),
  );
  return new Command("gc").description("garbage collection").addCommand(status);
}

function render(status: GcStatus): string {
  const oldest = status.oldestDueSeconds === null ? "" : `, the oldest for ${Math.round(status.oldestDueSeconds)} s`;
  return [
    `queue      ${status.queue} (${status.due} due${oldest})`,
    `uploading  ${status.uploading}`,
    `live       ${status.live}`,
    `doomed     ${status.doomed} (${formatBytes(status.doomedBytes)})`,
    `swept      ${status.swept}`,
    ...status.paused.map(({ reason, since, detail }) => `paused     ${reason} since ${since}: ${detail}`),
  ].join("\n");
}
