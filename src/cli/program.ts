// The command line as a whole: every subcommand, and what a mistake answers.

import { Command, CommanderError } from "commander";

import { isKubectlPlugin, programName } from "../config/program-name.ts";
import { programVersion } from "../config/version.ts";
import { auditCommand } from "./audit.ts";
import { backupCommand } from "./backup.ts";
import { deleteCommand } from "./delete.ts";
import { explainCommand } from "./explain.ts";
import { exitCodes } from "./failure.ts";
import { gcCommand } from "./gc.ts";
import { getCommand } from "./get.ts";
import { hostsCommand } from "./hosts.ts";
import { importCommand } from "./import.ts";
import { jobCommand } from "./job.ts";
import { operatorCommand } from "./operator.ts";
import { nodesCommand } from "./nodes.ts";
import { noteFailure } from "./output.ts";
import { planCommand } from "./plan.ts";
import { reconcileCommand } from "./reconcile.ts";
import { recordCommand } from "./record.ts";
import { registryCommand } from "./registry.ts";
import { reportCommand } from "./report.ts";
import { restoreCommand } from "./restore.ts";
import { restoreMetadataCommand } from "./restore-metadata.ts";
import { robotCommand } from "./robot.ts";
import { serveCommand } from "./serve.ts";
import { validateCommand } from "./validate.ts";

const examples = () => `
Examples:
  ${programName()} serve --config ./resources       serve the resources of a folder, on 127.0.0.1:5000
  ${programName()} get                              every resource with its conditions
  ${programName()} explain cgr/chainguard/nginx:1.27.3
  ${programName()} plan default/builds              keep or delete, and why, for every tag
  ${programName()} reconcile tagpolicy/nginx --wait    in a cluster: look for versions now, and say what came of it
  ${programName()} import https://old.example.com   take over another registry, or /its/folder, or s3://its-bucket
  ${programName()} validate ./resources             judge files before they are served

Exit codes: 0 done, 1 failed or refused (the reason is on stderr), 2 wrong usage.
Options that say where and how have a twin in the environment; --help of a subcommand names it.`;

/** Runs one command line (without program names) and resolves with its exit code. */
export async function run(args: readonly string[]): Promise<number> {
  const program = new Command(isKubectlPlugin() ? programName() : "wharfinger")
    .description(
      "A container registry that is configured by resources, recorded in Git, and gives versions to images that only have `latest`.",
    )
    .version(programVersion())
    .addHelpText("after", examples);
  for (const make of [
    serveCommand,
    registryCommand,
    operatorCommand,
    reportCommand,
    getCommand,
    explainCommand,
    planCommand,
    reconcileCommand,
    jobCommand,
    deleteCommand,
    restoreCommand,
    recordCommand,
    auditCommand,
    gcCommand,
    importCommand,
    hostsCommand,
    robotCommand,
    nodesCommand,
    backupCommand,
    restoreMetadataCommand,
    validateCommand,
  ]) {
    program.addCommand(make());
  }
  everyCommand(program, (command) => command.exitOverride().showHelpAfterError("(--help shows the usage)"));
  try {
    await program.parseAsync(args, { from: "user" });
    return Number(process.exitCode ?? exitCodes.done);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.usage;
    noteFailure(describe(error));
    return exitCodes.failed;
  }
}

/** What we say about a failure is its message; an error of the language itself is a bug, and its place says more. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const bug = [TypeError, ReferenceError, SyntaxError, RangeError].some((kind) => error instanceof kind);
  return bug ? `A bug; please report it.\n${error.stack}` : error.message;
}

function everyCommand(command: Command, apply: (command: Command) => void): void {
  apply(command);
  for (const child of command.commands) everyCommand(child, apply);
}
