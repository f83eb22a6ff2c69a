// wharfinger record: the Git record as the registry and its control plane see it, and the two decisions that only a person makes.

import { join } from "node:path";

import { Command } from "commander";

import type { RecordState } from "../api/control.ts";
import { clientOptions } from "../config/options.ts";
import { ask, clientCommand, option } from "./command-line.ts";
import { CommandError } from "./failure.ts";
import { note, printResult, table } from "./output.ts";

export function recordCommand(): Command {
  const status = clientCommand("status", "show the published revision, and what waits for a person").action(
    (_options: unknown, command: Command) =>
      ask(command, async ({ control }, output) => printResult(output, await control.record(), render)),
  );
  return new Command("record")
    .description("the Git record of configuration and versions")
    .addCommand(status)
    .addCommand(decision("confirm-removal", "removal", "let go the many resources that are missing at this commit", "removed"))
    .addCommand(
      decision("accept-revision", "accepted", "go on from this commit although history was rewritten or files are missing", "accepted"),
    );
}

/** Written into the record itself, so it also works while the registry is stopped. */
function decision(name: string, what: "accepted" | "removal", description: string, done: string): Command {
  return new Command(name)
    .description(description)
    .argument("<commit>", "a commit of the record's branch, may be abbreviated")
    .addOption(option(clientOptions.data))
    .action(async (commit: string, { data }: { data: string }) => {
      const { confirm } = await import("../record/confirm.ts");
      const folder = join(data, "record");
      const found = await confirm({ folder, what, commit });
      if (found === null) throw new CommandError(`${commit} is no commit of the record in ${folder}. \`git -C ${folder} log\` lists them.`);
      note(`${found.slice(0, 10)} is noted as ${done}; a running registry acts on it within seconds.`);
    });
}

function render({ revision, publishedAt, pods, refused = [], controlPlane }: RecordState): string {
  const published =
    revision === null
      ? "Nothing is published yet."
      : `Published: ${revision.slice(0, 10)}${publishedAt === null ? "" : ` since ${publishedAt}`}`;
  const head = controlPlane?.head?.slice(0, 10) ?? "nothing";
  const lines = [
    ...(controlPlane === undefined ? [] : [`Git: ${head}`]),
    ...refused.map(({ kind, namespace, name, reason, message }) => `Not served: ${kind} ${namespace}/${name}: ${reason}: ${message}`),
    ...(controlPlane?.problems ?? []).map(
      ({ file, line, message }) => `Served as of an earlier commit: ${file}${line === undefined ? "" : `:${line}`}: ${message}`,
    ),
    ...(controlPlane?.warnings ?? []).map(({ file, line, message }) => `Ignored: ${file}${line === undefined ? "" : `:${line}`}: ${message}`),
    ...(controlPlane?.orphans ?? []).map((orphan) => `Orphan, served although no resource stands behind it: ${orphan}`),
    ...(controlPlane?.waiting ?? []).map((what) => `Waits for you: ${what}`),
  ];
  return [
    published,
    ...lines,
    table(
      ["POD", "SERVES", "SEEN"],
      pods.map(({ id, revision: serves, seenAt }) => [id, serves?.slice(0, 10) ?? "nothing", seenAt]),
    ),
  ].join("\n");
}
