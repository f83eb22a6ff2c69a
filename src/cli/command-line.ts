// What every subcommand shares: options out of the table of src/config, arguments that are judged before anything is asked.

import { Command, InvalidArgumentError, Option } from "commander";

import { clientOptions, clusterOptions, podOptions } from "../config/options/client.ts";
import { parseBoolean, type OptionDefinition } from "../config/options/option.ts";
import { isKubectlPlugin } from "../config/program-name.ts";
import { isDigest } from "../domain/digest.ts";
import { isRepositoryName, isTag } from "../domain/reference.ts";
import type { Cluster, ClusterValues } from "./cluster/open-cluster.ts";
import type { ThroughValues } from "./cluster/through-cluster.ts";
import type { Connection, ConnectionOptions } from "./connection.ts";
import type { OutputForm } from "./output.ts";
import { whom, type Whom } from "./whom.ts";

export function option(definition: OptionDefinition, parse?: (text: string) => unknown): Option {
  const made = new Option(definition.flags, definition.description).env(definition.variable);
  if (definition.choices !== undefined) made.choices(definition.choices);
  if (definition.fallback !== undefined) made.default(parse?.(definition.fallback) ?? definition.fallback, definition.fallback);
  // commander takes any value in the environment for a switch as yes, also "false".
  const judge = parse ?? (definition.boolean === true ? parseBoolean : undefined);
  if (definition.boolean === true) made.preset("true");
  if (definition.fallbackDescription !== undefined)
    made.description = `${definition.description} (default: ${definition.fallbackDescription})`;
  return judge === undefined ? made : made.argParser((text) => judged(judge, text));
}

/** May be given again and again; in the environment the values are separated by commas. Values are lists: undefined where nothing is given. */
export function repeatable<T>(definition: OptionDefinition, parse: (text: string) => T): Option {
  return option(definition).argParser((text: string, before: readonly T[] | undefined) => [
    ...(before ?? []),
    ...text.split(",").map((part) => judged(parse, part.trim())),
  ]);
}

function judged<T>(judge: (text: string) => T, text: string): T {
  try {
    return judge(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

/** A subcommand that asks the registry at an address or of a data folder, and none in a cluster. */
export function directCommand(name: string, description: string): Command {
  return direct(new Command(name).description(description)).addOption(option(clientOptions.ca)).addOption(option(clientOptions.output));
}

function direct(command: Command): Command {
  return command
    .addOption(option(clientOptions.registry, parseUrl))
    .addOption(option(clientOptions.data))
    .addOption(option(clientOptions.tokenFile))
    .addOption(option(clientOptions.verbose));
}

const whichOne = `
Which registry: that of --registry or --data, where one is given; that of the cluster, where --context, --kubeconfig, -n or another option of a
cluster is given, or the program is called as \`kubectl wharfinger\`; else that of the process on the data folder, if one runs; else that of the
cluster, if there is a kubeconfig. The command line counts before the environment. --verbose says which it was.`;

/** A subcommand that asks the registry, wherever it is. */
export function clientCommand(name: string, description: string): Command {
  return withPods(clusterCommand(directCommand(name, description)));
}

/** The same for a command whose result has a form of its own, and which says itself what the registry's authority is for: without --output and --ca. */
export function askingCommand(name: string, description: string): Command {
  return withPods(clusterCommand(direct(new Command(name).description(description))));
}

function withPods(command: Command): Command {
  for (const definition of Object.values(podOptions)) command.addOption(option(definition));
  return command.addHelpText("after", whichOne);
}

/** Adds how a cluster is found. */
export function clusterCommand(command: Command): Command {
  return command
    .addOption(option(clusterOptions.kubeconfig))
    .addOption(option(clusterOptions.context))
    .addOption(option(clusterOptions.namespace, namespaceOf));
}

interface AskedValues extends Omit<ConnectionOptions, "dataGiven">, ClusterValues, ThroughValues {
  readonly output: OutputForm;
}

/** Runs the work of a command that knows no cluster. */
export async function askDirect(command: Command, work: (connection: Connection, output: OutputForm) => Promise<void>): Promise<void> {
  const { output, ...values } = command.opts<Omit<AskedValues, keyof ThroughValues>>();
  const { connected } = await import("./connection.ts");
  await connected({ ...values, dataGiven: isGiven(command, "data"), onlyDirect: true }, (connection) => work(connection, output));
}

/**
 * Runs the work of a client command against the registry that its options name. `inCluster`: what is done instead in a cluster, where its API server
 * knows more than the registry.
 */
export async function ask(
  command: Command,
  work: (connection: Connection, output: OutputForm, cluster?: Cluster) => Promise<void>,
  inCluster?: (cluster: Cluster, output: OutputForm) => Promise<void>,
): Promise<void> {
  const { output, ...values } = command.opts<AskedValues>();
  const dataGiven = isGiven(command, "data");
  const asked = whomOf(command);
  // Loaded only now: `--help` and a typing mistake answer at once.
  const { addressIn, connected, givenToken } = await import("./connection.ts");
  if (await isDirect(asked, async () => (await addressIn(values.data)) !== undefined)) {
    return connected({ ...values, dataGiven }, (connection) => work(connection, output));
  }
  const { withCluster } = await import("./cluster/open-cluster.ts");
  const { note } = await import("./output.ts");
  const tell = values.verbose === true ? note : () => undefined;
  await withCluster(values, async (cluster) => {
    if (inCluster !== undefined) {
      tell(`Asking the API server of ${cluster.name}, with the rights of the kubeconfig.`);
      return inCluster(cluster, output);
    }
    const { throughCluster } = await import("./cluster/through-cluster.ts");
    return throughCluster(cluster, { ...values, given: await givenToken(values), tell }, (connection) => work(connection, output, cluster));
  });
}

function isGiven(command: Command, name: string): boolean {
  return command.getOptionValueSource(name) !== "default";
}

function whomOf(command: Command): Whom {
  try {
    return whom((name) => command.getOptionValueSource(name), { plugin: isKubectlPlugin() });
  } catch (error) {
    return command.error(`error: ${(error as Error).message}`);
  }
}

async function isDirect(asked: Whom, isHere: () => Promise<boolean>): Promise<boolean> {
  if (asked !== "found") return asked === "direct";
  if (await isHere()) return true;
  const { isInReach } = await import("./cluster/open-cluster.ts");
  return !isInReach();
}

/** For commands that need no registry: how to work in the cluster that is meant; undefined: what is meant is on this machine. */
export async function inWhichCluster(
  command: Command,
  isHere: () => Promise<boolean>,
): Promise<((work: (cluster: Cluster) => Promise<void>) => Promise<void>) | undefined> {
  if (await isDirect(whomOf(command), isHere)) return undefined;
  const { withCluster } = await import("./cluster/open-cluster.ts");
  return (work) => withCluster(command.opts<ClusterValues>(), work);
}

/** scheme://host:port of a registry. */
export function parseUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !["http:", "https:"].includes(url.protocol) || url.pathname !== "/" || url.username !== "" || url.search !== "")
    throw new InvalidArgumentError("Write scheme://host:port, for example http://127.0.0.1:5000.");
  return url.origin;
}

const resourceName = /^[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?$/;

/** Throws an Error that says how a namespace is written. */
export function namespaceOf(text: string): string {
  if (!/^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/.test(text)) throw new Error("Write the name of a namespace, for example team-a.");
  return text;
}

export interface WrittenName {
  /** Undefined: that of the context; `default` where there is none, as in the resources. */
  readonly namespace?: string;
  readonly name: string;
}

/** `namespace/name`, or a name alone. */
export function parseResourceName(text: string): WrittenName {
  const parts = text.split("/");
  const [name = "", namespace] = parts.toReversed();
  if (parts.length > 2 || !parts.every((part) => resourceName.test(part)))
    throw new InvalidArgumentError("Write namespace/name, for example default/chainguard.");
  return namespace === undefined ? { name } : { namespace, name };
}

export function fullName({ namespace, name }: WrittenName, home: string): string {
  return `${namespace ?? home}/${name}`;
}

export interface ImageReference {
  readonly repository: string;
  readonly tag?: string;
  readonly digest?: string;
}

/** `repository:tag` or `repository@digest`, the registry's own host in front of it or not. */
export function parseImage(text: string): ImageReference {
  const bare = text.replace(/^[^/]+:\d+\//, ""); // only a host has a port
  const at = bare.indexOf("@");
  const colon = bare.lastIndexOf(":");
  const cut = at >= 0 ? at : colon;
  const [repository, reference] = [bare.slice(0, cut), bare.slice(cut + 1)];
  if (cut > 0 && isRepositoryName(repository)) {
    if (at >= 0 && isDigest(reference)) return { repository, digest: reference };
    if (at < 0 && isTag(reference)) return { repository, tag: reference };
  }
  throw new InvalidArgumentError("Write repository:tag or repository@sha256:…, for example cgr/chainguard/nginx:1.27.3.");
}
