// wharfinger reconcile: asks the operator of a cluster to look at a resource, or to run its job, now.

import { Command, InvalidArgumentError } from "commander";

import { programName } from "../config/program-name.ts";
import { formatDuration, parseDuration } from "../domain/duration.ts";
import type { Kind } from "../domain/resource.ts";
import type { ClusterValues } from "./cluster/open-cluster.ts";
import { clusterCommand, parseResourceName } from "./command-line.ts";
import { parseKind } from "./get.ts";
import { note } from "./output.ts";

interface Named {
  readonly kind: Kind;
  readonly name: string;
}

interface ReconcileValues extends ClusterValues {
  readonly wait?: boolean;
  readonly timeout: number;
}

const patience = 300_000;

export function reconcileCommand(): Command {
  return clusterCommand(new Command("reconcile"))
    .description("in a cluster: have a resource looked at, or its job run, now")
    .argument("<kind/name>", "for example tagpolicy/nginx", parseNamed)
    .option("--wait", "follow it until that is done: exit code 0 when it went well, 1 with the reason when not")
    .option("--timeout <duration>", `how long to follow it (default: ${formatDuration(patience)})`, parsePatience, patience)
    .addHelpText(
      "after",
      "\nIt sets the annotation wharfinger.dev/requestedAt, with your own rights (patch on the kind; with --wait also get).\n" +
        `Without a cluster resources are looked at as their files change, and \`${programName()} job\` runs the jobs of policies.`,
    )
    .action(async ({ kind, name }: Named, { wait, timeout, ...values }: ReconcileValues) => {
      const { withCluster } = await import("./cluster/open-cluster.ts");
      const { follow, request } = await import("./cluster/requested.ts");
      await withCluster(values, async (cluster) => {
        const key = { kind, namespace: cluster.namespace, name };
        const requested = await request(cluster, key);
        note(`Asked for ${kind} ${cluster.namespace}/${name} to be looked at (${cluster.name}).`);
        if (wait === true) note(await follow(cluster, requested, { timeout, tell: note }));
      });
    });
}

function parseNamed(text: string): Named {
  const [kind = "", ...rest] = text.split("/");
  const written = rest.length === 1 ? parseResourceName(rest[0] ?? "") : undefined;
  if (written === undefined) throw new InvalidArgumentError("Write kind/name, for example tagpolicy/nginx; its namespace with -n.");
  return { kind: parseKind(kind), name: written.name };
}

function parsePatience(text: string): number {
  const found = parseDuration(text);
  if (found === undefined || found === 0) throw new InvalidArgumentError("Write a duration, for example 90s or 10m.");
  return found;
}
