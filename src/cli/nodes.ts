// wharfinger nodes: keeps containerd's hosts.toml of the node that it runs on, as long as it runs.

import { writeFile } from "node:fs/promises";

import { Command, InvalidArgumentError } from "commander";

import { mirrorOptions, nodesOptions } from "../config/options/nodes.ts";
import { serveOptions } from "../config/options/registry.ts";
import type { LogLevel } from "../observability/logger.ts";
import { isLoopback, parseAddress, parseHost } from "../nodes/addresses.ts";
import { option, repeatable } from "./command-line.ts";
import { CommandError } from "./failure.ts";
import { mirrorOf, type MirrorValues } from "./mirror-values.ts";
import type { Served, Starting } from "./process.ts";

interface NodesValues extends MirrorValues {
  readonly host: readonly string[];
  readonly certsDir: string;
  readonly installation: string;
  readonly pod: string;
  readonly problems?: string;
  readonly logLevel: LogLevel;
}

/** Milliseconds between two looks at the files on the node and at the password. The kubelet brings a changed Secret within a minute or two. */
const lookEvery = 15_000;

export function nodesCommand(): Command {
  return new Command("nodes")
    .description("keep containerd's hosts.toml of this node, as long as it runs; what the chart's DaemonSet does")
    .addOption(option(mirrorOptions.address, parseAddress).makeOptionMandatory())
    .addOption(option(mirrorOptions.ca))
    .addOption(option(mirrorOptions.user))
    .addOption(option(mirrorOptions.passwordFile))
    .addOption(repeatable(nodesOptions.host, parseHost).makeOptionMandatory())
    .addOption(option(nodesOptions.certsDir))
    .addOption(option(nodesOptions.installation, word).makeOptionMandatory())
    .addOption(option(nodesOptions.pod, word).makeOptionMandatory())
    .addOption(option(nodesOptions.problems))
    .addOption(option(serveOptions.logLevel))
    .action(async (values: NodesValues) => {
      const { serveUntilToldToEnd } = await import("./process.ts");
      process.exitCode = await serveUntilToldToEnd({ logLevel: values.logLevel, start: (starting) => start(values, starting) });
    });
}

function word(text: string): string {
  if (!/^[-\w./]+$/.test(text)) throw new InvalidArgumentError("Write letters, digits and - . _ / alone.");
  return text;
}

async function start(values: NodesValues, { logger }: Starting): Promise<Served> {
  const { address, certsDir: folder, host: hosts, installation, pod } = values;
  if (isLoopback(address))
    throw new CommandError(`${address} is each node itself: give the ClusterIP of the registry's Service, or a name that nodes resolve.`);
  const own = hosts.find((host) => host === new URL(address).host);
  if (own !== undefined) throw new CommandError(`${own} is the registry itself (--address): it cannot be a mirror of its own.`);
  const { NodeHosts } = await import("../nodes/node-hosts.ts");
  const kept = new NodeHosts({ folder, hosts, owner: { installation, pod }, logger });
  let told = "";
  const keep = async (): Promise<void> => {
    const problems = await kept.keep(await mirrorOf(values));
    const text = problems.join("\n");
    if (values.problems !== undefined) await writeFile(values.problems, text);
    if (text !== told) for (const problem of problems) logger.error(problem);
    if (text === "" && told !== "") logger.info("every host is configured");
    told = text;
  };
  if (values.passwordFile !== undefined && address.startsWith("http://"))
    logger.warn(
      `the password of ${values.user} goes to ${address} as it is: who reads the network there may pull what nodes may. Give the Service TLS`,
    );
  await keep();
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  let looking = Promise.resolve();
  const look = async (): Promise<void> => {
    await keep().catch((error: Error) => logger.warn(`the files stay as they are: ${error.message}`));
    if (!closed) next();
  };
  const next = (): void => {
    timer = setTimeout(() => void (looking = look()), lookEvery);
  };
  next();
  return {
    summary: `Keeping ${folder} for ${hosts.join(", ")}.`,
    stop: async () => {
      closed = true;
      clearTimeout(timer);
      await looking;
      await kept.release();
    },
  };
}
