// wharfinger audit: does everything that storage promises hold?

import type { Command } from "commander";

import type { AuditReport } from "../api/control/audit.ts";
import { adoptStore } from "./adopt.ts";
import { ask, clientCommand } from "./command-line.ts";
import { CommandError } from "./failure.ts";
import { note, printResult, progressLine } from "./output.ts";
import { auditVerdict, renderAudit } from "./render/audit.ts";
import { formatBytes } from "../domain/bytes.ts";

export function auditCommand(): Command {
  return clientCommand("audit", "check that what is stored is whole (exit code 1 when it is not)")
    .option("--deep", "read and hash every blob, not a sample", false)
    .option(
      "--repair",
      "delete unknown objects that are older than 7 days, forget cached copies whose bytes are lost, count usage again",
      false,
    )
    .option("--adopt", "after a restore: look for what is missing, name what is lost, then let the collector go on", false)
    .action(async ({ deep, repair, adopt }: { deep: boolean; repair: boolean; adopt: boolean }, command: Command) => {
      if (adopt && (deep || repair)) throw new CommandError("--adopt goes alone: run the audit after it.");
      if (adopt) return adoptStore(command);
      return ask(command, async ({ control }, output) => {
        let report: AuditReport | undefined;
        for await (const line of control.audit({ deep, repair })) {
          if ("report" in line) report = line.report;
          else progressLine(`${line.progress.step}: ${line.progress.done} of ${line.progress.total}`);
        }
        progressLine("");
        if (report === undefined)
          throw new CommandError("The audit was cut off before it had a result. The registry's log says why; run it again.");
        const { checked } = report;
        note(
          `Checked ${checked.repositories} repositories, ${checked.manifests} manifests, ${checked.blobs} blobs and ${checked.objects} stored objects (${formatBytes(checked.bytes)})${deep ? "" : `, and read ${checked.hashed} of the blobs (--deep reads all)`}.`,
        );
        await printResult(output, report, renderAudit);
        const verdict = auditVerdict(report, { repair });
        if (verdict !== undefined) throw new CommandError(verdict);
      });
    });
}
