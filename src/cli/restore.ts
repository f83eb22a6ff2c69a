// wharfinger restore: what retention or a client deleted comes back out of the trash.

import type { Command } from "commander";

import type { RestoreResult } from "../api/control/deletion.ts";
import { ask, clientCommand, parseImage, type ImageReference } from "./command-line.ts";
import { CommandError } from "./failure.ts";
import { printResult } from "./output.ts";

export function restoreCommand(): Command {
  return clientCommand("restore", "bring a deleted image back from the trash")
    .argument("<image>", "repository:tag or repository@digest", parseImage)
    .action((image: ImageReference, _options: unknown, command: Command) =>
      ask(command, async ({ control }, output) => {
        const result = await control.restore(image);
        await printResult(output, result, render);
        if (result.restored.length === 0) throw new CommandError(`Nothing came back. ${result.gone.join("; ")}`.trim());
        if (result.gone.length > 0) throw new CommandError(`Not all of it came back: ${result.gone.join("; ")}`);
      }),
    );
}

function render({ repository, restored }: RestoreResult): string {
  return restored.map(({ digest, tags }) => `${repository}@${digest}${tags.length === 0 ? "" : ` (${tags.join(", ")})`}`).join("\n");
}
