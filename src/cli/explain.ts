// wharfinger explain: the ledger entry behind a tag, and why there is none.

import type { Command } from "commander";

import { ClientError } from "../client/errors.ts";
import { ask, clientCommand, parseImage, type ImageReference } from "./command-line.ts";
import { CommandError } from "./failure.ts";
import { printResult } from "./output.ts";
import { gitInRecord } from "./render/record-hint.ts";
import { renderVersions } from "./render/versions.ts";

/** The registry says the same of what is not there and of what may not be seen. */
const fromWhere =
  "Versions come from a TagPolicy, for the images of an Upstream that it lists; tags of an image that was pushed here are as they were pushed.";

export function explainCommand(): Command {
  return clientCommand("explain", "show why a version tag points where it does: the build, its evidence, the commit")
    .argument("<image>", "repository:tag or repository@digest", parseImage)
    .action((image: ImageReference, _options: unknown, command: Command) =>
      ask(command, async ({ control, record }, output) => {
        const view = await control.versions(image.repository).catch((error: unknown) => {
          if (!(error instanceof ClientError) || error.code !== "NotFound") throw error;
          throw new CommandError(`${error.message} ${fromWhere}`, { cause: error });
        });
        const { ledger } = view;
        const known =
          image.tag === undefined
            ? ledger.builds.some(({ digest }) => digest === image.digest)
            : [ledger.tags, ledger.pinned, ledger.retired].some((names) => Object.hasOwn(names, image.tag ?? ""));
        await printResult(output, view, (shown) => renderVersions(shown, image, record));
        if (known) return;
        const tags = Object.keys(ledger.tags);
        throw new CommandError(
          `${image.repository} has no version ${image.tag ?? image.digest}. ${tags.length === 0 ? "None is in service." : `It has ${tags.join(", ")}.`} ` +
            `What people changed in its ledger: ${gitInRecord(record, `log -p -- versions/${image.repository}/_ledger.yaml`)}`,
        );
      }),
    );
}
