// wharfinger audit --adopt: after a restore, what is missing and what is unknown in the store.

import type { Command } from "commander";

import type { AdoptReport } from "../api/control/audit.ts";
import { formatBytes } from "../domain/bytes.ts";
import { ask } from "./command-line.ts";
import { CommandError } from "./failure.ts";
import { note, printResult, progressLine } from "./output.ts";

/** Exit code 1 when something that was pushed is lost. */
export function adoptStore(command: Command): Promise<void> {
  return ask(command, async ({ control }, output) => {
    let report: AdoptReport | undefined;
    for await (const line of control.adopt()) {
      if ("report" in line) report = line.report;
      else progressLine(`${line.progress.step}: ${line.progress.done} of ${line.progress.total}`);
    }
    progressLine("");
    if (report === undefined)
      throw new CommandError(
        "It was cut off before its end, and the collector is paused as before. The registry's log says why; run it again.",
      );
    note(`Went over ${report.objects} stored objects. The collector goes on.`);
    await printResult(output, report, render);
    const { length } = report.lost;
    if (length > 0)
      throw new CommandError(
        `${length} pushed ${length === 1 ? "blob is" : "blobs are"} lost. Import these images again (\`npx wharfinger import\`), or push them with a ` +
          "client that asks for each layer: docker, podman, skopeo. Others see that the manifest is here and send nothing: for an image of one platform, delete the tag first.",
      );
  });
}

function render({ adopted, forgotten, lost, unknown }: AdoptReport): string {
  return [
    ...lost.flatMap(({ digest, images }) => images.map((image) => `lost       ${image}: ${digest}`)),
    ...adopted.map(({ digest, key }) => `adopted    ${digest} (${key})`),
    ...forgotten.map((digest) => `forgotten  ${digest}: the next pull fetches it`),
    ...(unknown.objects === 0
      ? []
      : [`unknown    ${unknown.objects} objects (${formatBytes(unknown.bytes)}); audit --repair deletes those older than 7 days`]),
  ].join("\n");
}
