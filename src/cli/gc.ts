// wharfinger gc: what the collector has before it, and the word of a person that it waits for.

import { Command } from "commander";

import type { GcStatus } from "../api/control/gc.ts";
import { formatBytes } from "../domain/bytes.ts";
import { ask, clientCommand } from "./command-line.ts";
import { note, printResult } from "./output.ts";
import { renderGc } from "./render/gc.ts";

export function gcCommand(): Command {
  const status = clientCommand("status", "show what the collector has before it, and why it waits if it does").action(
    (_options: unknown, command: Command) => ask(command, async ({ control }, output) => printResult(output, await control.gc(), renderGc)),
  );
  const resume = clientCommand(
    "resume",
    "release the brake: everything that is doomed by now may be deleted for good (gc status shows how much that is)",
  ).action((_options: unknown, command: Command) =>
    ask(command, async ({ control }, output) => {
      const { resumed, ...now } = await control.resumeGc();
      note(resumed ? `Sweeping goes on; ${approved(now)} may go.` : "The brake does not hold: nothing was changed.");
      await printResult(output, now, renderGc);
    }),
  );
  return new Command("gc").description("garbage collection").addCommand(status).addCommand(resume);
}

function approved({ doomed, doomedBytes }: GcStatus): string {
  return `${doomed} ${doomed === 1 ? "object" : "objects"} (${formatBytes(doomedBytes)})`;
}
