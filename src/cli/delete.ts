// wharfinger delete: what an administrator wants gone; with --purge for good and at once.

import type { Command } from "commander";

import type { DeleteResult } from "../api/control/deletion.ts";
import { programName } from "../config/program-name.ts";
import { formatBytes } from "../domain/bytes.ts";
import { ask, clientCommand, parseImage, type ImageReference } from "./command-line.ts";
import { CommandError } from "./failure.ts";
import { note, printResult } from "./output.ts";

export function deleteCommand(): Command {
  return clientCommand("delete", "delete a tag, or a manifest with all its tags; it can be restored for gc.trashFor")
    .argument("<image>", "repository:tag or repository@digest", parseImage)
    .option("--purge", "for a leaked secret: the whole image with its bytes, at once; nothing of it can be restored", false)
    .action((image: ImageReference, { purge }: { purge: boolean }, command: Command) =>
      ask(command, async ({ control }, output) => {
        const result = await control.delete({ ...image, purge });
        await printResult(output, result, render);
        if (purge) note(`${result.swept} objects (${formatBytes(result.bytes)}) are deleted in the store.`);
        if (result.kept.length > 0) note(`${result.kept.length} stay, because something else needs them.`);
        if (result.waiting > 0)
          throw new CommandError(
            `${result.waiting} objects in the store, or referrers, are not deleted yet; it is tried again (\`${programName()} gc status\` shows whether deletions are paused).`,
          );
      }),
    );
}

function render({ repository, deleted, trash, kept }: DeleteResult): string {
  return [
    ...deleted.map((image) => `deleted  ${repository}@${image.digest}${tagged(image.tags)}`),
    ...trash.map((image) => `trash    ${image.repository}@${image.digest}${tagged(image.tags)}`),
    ...kept.map(({ digest, holders }) => `kept     ${digest}, needed by ${holders.join(", ")}`),
  ].join("\n");
}

function tagged(tags: readonly string[]): string {
  return tags.length === 0 ? "" : ` (${tags.join(", ")})`;
}
