// wharfinger validate: files judged offline, by the rules that the registry and an API server apply.

import { Command } from "commander";

import { clientOptions } from "../config/options/client.ts";
import type { FilesReport } from "../validation/validate-files.ts";
import { option } from "./command-line.ts";
import { exitCodes } from "./failure.ts";
import { note, printResult, table, type OutputForm } from "./output.ts";

export function validateCommand(): Command {
  return new Command("validate")
    .description("judge resource files offline: schema, CEL rules, and what only code can check")
    .argument("<path...>", "files, or folders with *.yaml, *.yml and *.json at any depth")
    .addOption(option(clientOptions.output))
    .action(async (paths: string[], { output }: { output: OutputForm }) => {
      const { formatFinding, validateFiles } = await import("../validation/validate-files.ts");
      const report = await validateFiles(paths);
      for (const finding of [...report.problems, ...report.documents.flatMap(({ findings }) => findings)]) note(formatFinding(finding));
      await printResult(output, report, render);
      const invalid = report.documents.filter(({ verdict }) => verdict === "invalid").length;
      note(
        `${report.documents.length - invalid} valid, ${invalid} invalid${report.problems.length === 0 ? "" : `, ${report.problems.length} not readable`}.`,
      );
      if (!report.valid) process.exitCode = exitCodes.failed;
    });
}

function render({ documents }: FilesReport): string {
  if (documents.length === 0) return "";
  return table(
    ["KIND", "NAMESPACE", "NAME", "VERDICT", "SOURCE"],
    documents.map(({ kind, namespace, name, verdict, source }) => [kind, namespace, name, verdict, source]),
  );
}
