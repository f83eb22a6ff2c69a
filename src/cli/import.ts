// wharfinger import: takes over another registry, from its files or over its API.

import type { Command } from "commander";

import { importOptions, loginFromEnvironment } from "../config/options/import.ts";
import { switchFromEnvironment } from "../config/options/option.ts";
import type { ImportOptions } from "../import/import.ts";
import type { Rename } from "../import/names.ts";
import { parsePrefix, parseRename, parseSelection } from "../import/names.ts";
import { askDirect, directCommand, option, repeatable } from "./command-line.ts";
import { CommandError } from "./failure.ts";
import { note, printResult } from "./output.ts";
import { renderImport, renderProblem } from "./render/import.ts";

interface ImportValues {
  readonly repository?: readonly string[];
  readonly prefix?: string;
  readonly rename?: readonly Rename[];
  readonly endpoint?: string;
  readonly region: string;
  readonly allowHost?: readonly string[];
  readonly concurrency: number;
  readonly overwriteTags?: boolean;
  readonly untagged?: boolean;
  readonly dryRun?: boolean;
}

const switches = ["overwriteTags", "untagged", "dryRun"] as const;

const help = `
Sources:
  /var/lib/registry                 a folder of distribution's (registry:2, registry:3), or docker/registry/v2 in it
  s3://bucket/prefix                the same in a bucket; credentials as the AWS SDK finds them
  https://old.example.com           a running registry; login from WHARFINGER_SOURCE_USERNAME and WHARFINGER_SOURCE_PASSWORD,
                                    or what docker login left behind

Somebody who may push:
  the admin token                   of the data folder, or WHARFINGER_TOKEN
  a user                            WHARFINGER_USERNAME and WHARFINGER_PASSWORD, or what docker login left behind

It may be ended at any time: run again, it sends what is missing.

Exit codes: 0 when everything selected is here, 1 when something stayed behind (each is named) or the import could not go on, 2 wrong usage.`;

export function importCommand(): Command {
  const command = directCommand("import", "take over another registry: its images, indexes, attachments and tags")
    .argument("<source>", "folder, s3://bucket/prefix or https://host")
    .addOption(repeatable(importOptions.repository, parseSelection))
    .addOption(option(importOptions.prefix, parsePrefix))
    .addOption(repeatable(importOptions.rename, parseRename))
    .addOption(option(importOptions.endpoint, parseEndpoint))
    .addOption(option(importOptions.region))
    .addOption(repeatable(importOptions.allowHost, parseHost))
    .addOption(option(importOptions.concurrency, parseConcurrency));
  for (const name of switches) {
    const { flags, description, variable } = importOptions[name];
    command.option(flags, `${description} (env: ${variable})`);
  }
  return command.addHelpText("after", help).action((source: string, values: ImportValues, command: Command) => {
    const switched = switchesOf(values, command);
    return askDirect(command, async (connection, output) => {
      const { findTarget } = await import("./import-target.ts");
      const { target, explained } = await findTarget(connection);
      const result = await runImport(source, { ...values, ...switched }, target).catch((error: unknown) => {
        throw explained(error);
      });
      await printResult(output, result, renderImport);
      const stayed = result.problems.length;
      if (stayed > 0)
        throw new CommandError(
          `${stayed} ${stayed === 1 ? "thing was" : "things were"} not imported as the source has ${stayed === 1 ? "it" : "them"}; each is named above.`,
        );
    });
  });
}

/** On by flag or twin. A twin that says neither yes nor no is wrong usage. */
function switchesOf(values: ImportValues, command: Command): Partial<ImportValues> {
  const isOn = (name: (typeof switches)[number]) => {
    try {
      return values[name] === true || switchFromEnvironment(importOptions[name]);
    } catch (error) {
      return command.error(`error: ${importOptions[name].variable} is invalid. ${(error as Error).message}`);
    }
  };
  return Object.fromEntries(switches.map((name) => [name, isOn(name)]));
}

async function runImport(text: string, values: ImportValues, target: ImportOptions["target"]) {
  const [{ ClientError }, { openSource }, { importRegistry }, { ImportReport }, { SourceError }, { watchImport }] = await Promise.all([
    import("../client/errors.ts"),
    import("../import/open-source.ts"),
    import("../import/import.ts"),
    import("../import/report.ts"),
    import("../import/import-source.ts"),
    import("./import-progress.ts"),
  ]);
  const { concurrency, endpoint, region, overwriteTags = false, untagged = false, dryRun = false } = values;
  try {
    const source = await openSource(text, {
      ...(endpoint === undefined ? {} : { endpoint }),
      region,
      concurrency,
      allowedHosts: values.allowHost ?? [],
      login: loginFromEnvironment("source"),
    });
    const report = new ImportReport({ onProblem: (problem) => progress.say(renderProblem(problem)) });
    const progress = watchImport(report, { dryRun });
    try {
      return await importRegistry({
        source,
        target,
        names: { repositories: values.repository ?? [], prefix: values.prefix ?? "", renames: values.rename ?? [] },
        concurrency,
        overwriteTags,
        untagged,
        dryRun,
        report,
        onRepository: progress.repository,
        patience: { onWait: progress.waiting },
      });
    } finally {
      progress.end();
      await source.close();
    }
  } catch (error) {
    if ((error instanceof SourceError || error instanceof ClientError) && error.temporary)
      note("What was imported so far is here; run the same again to go on.");
    throw error instanceof SourceError ? new CommandError(error.message, { cause: error }) : error;
  }
}

function parseConcurrency(text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= 64) return count;
  throw new Error("Write a whole number from 1 to 64.");
}

function parseEndpoint(text: string): string {
  const url = URL.parse(text);
  if (url !== null && ["http:", "https:"].includes(url.protocol) && url.username === "") return url.origin;
  throw new Error("Write the address of the service, for example https://s3.example.com.");
}

function parseHost(text: string): string {
  if (/^[a-z0-9.-]+(?::\d{1,5})?$/i.test(text)) return text.toLowerCase();
  throw new Error("Write host or host:port, for example auth.example.com.");
}
