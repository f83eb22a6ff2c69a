// wharfinger record: the Git record as the registry and its control plane see it, and the two decisions that only a person makes.

import { existsSync } from "node:fs";
import { join } from "node:path";

import { Command } from "commander";

import type { RecordState } from "../api/control/record.ts";
import { clientOptions } from "../config/options/client.ts";
import type { PersonsDecision } from "../operator/persons-word.ts";
import type { Cluster } from "./cluster/open-cluster.ts";
import { ask, clientCommand, clusterCommand, inWhichCluster, option } from "./command-line.ts";
import { CommandError } from "./failure.ts";
import { note, printResult, table } from "./output.ts";
import { cloneCommand, pullCommand, pushCommand } from "./record-clone.ts";
import { describeSourceProblem } from "./render/source-problem.ts";

export function recordCommand(): Command {
  const status = clientCommand("status", "show the published revision, and what waits for a person").action(
    (_options: unknown, command: Command) =>
      ask(command, async ({ control }, output, cluster) => {
        const state = await control.record();
        const whole = cluster === undefined || state.controlPlane !== undefined ? state : { ...state, ...(await toldIn(cluster)) };
        for (const problem of whole.controlPlane?.sourceProblems ?? []) note(describeSourceProblem(problem));
        await printResult(output, whole, render);
      }),
  );
  return new Command("record")
    .description("the Git record of configuration and versions")
    .addCommand(status)
    .addCommand(cloneCommand())
    .addCommand(pullCommand())
    .addCommand(pushCommand())
    .addCommand(
      decision("confirm-removal", {
        what: "removal",
        argument: ["<commit>[/<namespace>]", "what `record status` names: all that waits at the commit, or what waits in one namespace"],
        description: "let go the many resources that are missing at this commit",
        done: "the resources that are missing at it are removed from the record and no longer served",
      }),
    )
    .addCommand(
      decision("accept-revision", {
        what: "accepted",
        argument: ["<commit>", "the commit that `record status` names, may be abbreviated"],
        description: "go on from this commit although history was rewritten or files are missing",
        done: "the record counts as it stands there, and is served",
      }),
    );
}

/** What the operator of a cluster says of its record; the registry's part of it is worth showing without. */
async function toldIn(cluster: Cluster): Promise<Pick<RecordState, "controlPlane">> {
  const { reportIn } = await import("./cluster/record-report.ts");
  try {
    const { status, omitted = 0 } = await reportIn(cluster);
    if (omitted > 0) note(`${omitted} more entries are in the operator's log.`);
    return { controlPlane: status };
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    note(`Nothing is known of Git: ${error.message}`);
    return {};
  }
}

interface Decision {
  readonly what: "accepted" | "removal";
  /** Its form, and what it is. */
  readonly argument: readonly [form: string, words: string];
  readonly description: string;
  /** What follows, in words. */
  readonly done: string;
}

/**
 * Written into the record itself, so it also works while the registry is stopped; in a cluster onto the installation's ConfigMap, where the operator
 * hears it.
 */
function decision(name: PersonsDecision, { what, argument, description, done }: Decision): Command {
  return clusterCommand(new Command(name).addOption(option(clientOptions.data)))
    .description(description)
    .argument(...argument)
    .action(async (said: string, { data }: { data: string }, command: Command) => {
      const cluster = await inWhichCluster(command, async () => existsSync(join(data, "record")));
      if (cluster !== undefined) {
        return cluster(async (opened) => {
          const { sayDecision } = await import("./cluster/record-report.ts");
          const home = await sayDecision(opened, name, said);
          note(`${said} is noted on ConfigMap ${home}/wharfinger: once the operator has heard it, ${done}.`);
        });
      }
      const { confirm, findCommit } = await import("../record/confirm.ts");
      const { asksFor, parseRemovalWord } = await import("../record/removal-word.ts");
      const folder = join(data, "record");
      const { commit: named = "", namespace } =
        (what === "removal" ? parseRemovalWord(said) : { commit: said, namespace: undefined }) ?? {};
      const commit = await findCommit({ folder, commit: named });
      if (commit === null) throw new CommandError(`${said} is no commit of the record in ${folder}. \`git -C ${folder} log\` lists them.`);
      const short = `${commit.slice(0, 10)}${namespace === undefined ? "" : `/${namespace}`}`;
      const waiting = await waitingAt(data);
      if (waiting === undefined) {
        await confirm({ folder, what, commit, namespace });
        note(
          `${short} is noted. No registry runs on ${data}: it counts only if something waits at that commit when one starts; then ${done}.`,
        );
        return;
      }
      if (!waiting.some((message) => asksFor(message, `record ${name} `, { commit, namespace }))) {
        const others =
          waiting.length === 0 ? "Nothing else waits either." : `What waits:\n${waiting.map((what) => `  ${what}`).join("\n")}`;
        throw new CommandError(`Nothing waits at that commit (${short}) for \`record ${name}\`. ${others}`);
      }
      await confirm({ folder, what, commit, namespace });
      note(`${short} is noted: within seconds ${done}.`);
    });
}

/** What the registry on this folder waits for; undefined when none runs there. */
async function waitingAt(data: string): Promise<readonly string[] | undefined> {
  const { connected } = await import("./connection.ts");
  const { ClientError } = await import("../client/errors.ts");
  try {
    return await connected({ data, dataGiven: true }, async ({ control }) => (await control.record()).controlPlane?.waiting);
  } catch (error) {
    const { cause } = error as Error;
    if (cause instanceof ClientError && cause.code !== "Unreachable") throw error;
    if (!(error instanceof CommandError)) throw error;
    return undefined;
  }
}

function render({ revision, publishedAt, pods, refused = [], controlPlane }: RecordState): string {
  const published =
    revision === null
      ? "Nothing is published yet."
      : `Published: ${revision.slice(0, 10)}${publishedAt === null ? "" : ` since ${publishedAt}`}`;
  const head = controlPlane?.head?.slice(0, 10) ?? "nothing";
  const lines = [
    ...(controlPlane === undefined ? [] : [`Git: ${head}`]),
    ...(controlPlane?.problem === undefined ? [] : [`Not recorded: ${controlPlane.problem}`]),
    ...(controlPlane?.otherInstallation === undefined ? [] : [controlPlane.otherInstallation]),
    ...refused.map(({ kind, namespace, name, reason, message }) => `Not served: ${kind} ${namespace}/${name}: ${reason}: ${message}`),
    ...(controlPlane?.problems ?? []).map(
      ({ file, line, message }) => `Served as of an earlier commit: ${file}${line === undefined ? "" : `:${line}`}: ${message}`,
    ),
    ...(controlPlane?.warnings ?? []).map(
      ({ file, line, message }) => `Ignored: ${file}${line === undefined ? "" : `:${line}`}: ${message}`,
    ),
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
