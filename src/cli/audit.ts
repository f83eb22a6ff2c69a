// wharfinger audit: does everything that storage promises hold?

import type { Command } from "commander";

import type { AuditReport } from "../api/control.ts";
import { ask, clientCommand } from "./command-line.ts";
import { CommandError } from "./failure.ts";
import { note, printResult, progressLine } from "./output.ts";
import { renderAudit } from "./render/audit.ts";
import { formatBytes } from "../domain/bytes.ts";

export function auditCommand(): Command {
  return clientCommand("audit", "check that what is stored is whole (exit code 1 when it is not)")
    .option("--deep", "read and hash every blob as well", false)
    .action(({ deep }: { deep: boolean }, command: Command) =>
      ask(command, async ({ control }, output) => {
        let report: AuditReport | undefined;
        for await (const line of control.audit({ deep })) {
          if ("report" in line) report = line.report;
          else progressLine(`${line.progress.step}: ${line.progress.done} of ${line.progress.total}`);
        }
        progressLine("");
        if (report === undefined)
          throw new CommandError("The audit was cut off before it had a result. The registry's log says why; run it again.");
        const { checked, findings } = report;
        note(
          `Checked ${checked.repositories} repositories, ${checked.manifests} manifests, ${checked.blobs} blobs and ${checked.objects} stored objects (${formatBytes(checked.bytes)})${deep ? "" : ", without reading the blobs (--deep)"}.`,
        );
        await printResult(output, report, renderAudit);
        if (findings.length > 0) throw new CommandError(`${findings.length} ${findings.length === 1 ? "finding" : "findings"}.`);
      }),
    );
}
