// wharfinger record clone, pull, push: a person's clone of the record. Where it has no remote, git goes through the API server to the operator.

import { existsSync } from "node:fs";
import { join } from "node:path";

import { Command } from "commander";

import { clientOptions, podOptions } from "../config/options/client.ts";
import { programName } from "../config/program-name.ts";
import { shellWord } from "../config/shell-word.ts";
import type { GitWay } from "../record/clone.ts";
import type { AccountValues } from "./cluster/admin-token.ts";
import type { Cluster, ClusterValues } from "./cluster/open-cluster.ts";
import { clusterCommand, inWhichCluster, option } from "./command-line.ts";
import { CommandError } from "./failure.ts";
import { note } from "./output.ts";

interface WayValues extends AccountValues, ClusterValues {
  readonly data: string;
  readonly tokenFile?: string;
}

const defaultFolder = "record";

/** With how one shows who one is to the operator. */
function throughOperator(command: Command): Command {
  return clusterCommand(command)
    .addOption(option(podOptions.serviceAccount))
    .addOption(option(podOptions.audience))
    .addOption(option(clientOptions.tokenFile));
}

export function cloneCommand(): Command {
  return throughOperator(new Command("clone").addOption(option(clientOptions.data)))
    .description("clone the record, to look at its history and to revert in it")
    .argument("[folder]", "that is not there yet", defaultFolder)
    .addHelpText(
      "after",
      "\nIn a cluster it is cloned from its remote (setting record.remote), with your own credentials at that Git host; without a remote from the\n" +
        "operator, as the ServiceAccount: then `record pull` and `record push` bring it up to date and back.",
    )
    .action(async (folder: string, values: WayValues, command: Command) => {
      const from = join(values.data, "record");
      const cluster = await inWhichCluster(command, async () => existsSync(from));
      if (cluster === undefined) return clone({ from, folder });
      await cluster(async (opened) => {
        const { remoteIn } = await import("./cluster/record-report.ts");
        const remote = await remoteIn(opened);
        if (remote === undefined) return byWay(opened, values, (way) => clone({ from: way.name, folder, way }));
        await clone({ from: remote.url, branch: remote.branch, folder });
        if (remote.folder !== "") note(`The record is in its folder ${remote.folder}.`);
      });
    });
}

async function clone(options: {
  readonly from: string;
  readonly branch?: string;
  readonly folder: string;
  readonly way?: GitWay;
}): Promise<void> {
  const { cloneRecord } = await import("../record/clone.ts");
  await asCommand(cloneRecord(options));
  const folder = shellWord(options.folder);
  note(`\`git -C ${folder} log\` tells what was served, and since when.`);
  if (options.way !== undefined) note(`\`${programName()} record push ${folder}\` brings back what you commit in it.`);
}

export function pullCommand(): Command {
  return inClone("pull", {
    description: "bring a clone of the operator's record up to date, with your commits on top",
    args: ["pull", "--rebase"],
  });
}

export function pushCommand(): Command {
  return inClone("push", {
    description: "push what you committed in a clone of the operator's record: it is served as soon as it has arrived",
    args: ["push", "origin", "HEAD"],
  });
}

function inClone(name: string, { description, args }: { readonly description: string; readonly args: readonly string[] }): Command {
  return throughOperator(new Command(name))
    .description(description)
    .argument("[folder]", "that `record clone` made, in a cluster whose record has no remote", defaultFolder)
    .action(async (folder: string, values: WayValues) => {
      const { gitInClone, originOf } = await import("../record/clone.ts");
      const origin = await originOf(folder);
      const [, namespace] = /^wharfinger:\/\/([^/]+)\/record$/.exec(origin ?? "") ?? [];
      if (namespace === undefined) {
        throw new CommandError(
          origin === undefined
            ? `${folder} is no clone of a record. \`${programName()} record clone\` makes one.`
            : `${folder} is a clone of ${origin}: \`git -C ${shellWord(folder)} ${args.join(" ")}\` goes there.`,
        );
      }
      if (values.namespace !== undefined && values.namespace !== namespace)
        throw new CommandError(`${folder} is a clone of the record in namespace ${namespace}, not of ${values.namespace}'s.`);
      const { withCluster } = await import("./cluster/open-cluster.ts");
      await withCluster({ ...values, namespace }, async (cluster) => {
        const { remoteIn } = await import("./cluster/record-report.ts");
        const remote = await remoteIn(cluster);
        if (remote !== undefined) {
          throw new CommandError(
            `The record is at ${remote.url} by now, branch ${remote.branch}: \`${programName()} record clone -n ${namespace}\` clones it from there.`,
          );
        }
        await byWay(cluster, values, (way) => asCommand(gitInClone(folder, args, way)));
      });
    });
}

/** Opens the way to the operator's record for one run of git. Rejects with CommandError. */
async function byWay(cluster: Cluster, values: WayValues, work: (way: GitWay) => Promise<void>): Promise<void> {
  const { openWayToRecord } = await import("./cluster/way-to-record.ts");
  const { givenToken } = await import("./connection.ts");
  const way = await openWayToRecord(cluster, values, await givenToken(values));
  try {
    await work(way);
  } catch (error) {
    throw way.failure() ?? error;
  } finally {
    await way.close();
  }
}

async function asCommand<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    throw new CommandError((cause as Error).message, { cause });
  }
}
