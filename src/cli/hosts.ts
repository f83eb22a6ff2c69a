// wharfinger hosts: what a container runtime has to be told to pull through this registry, in its own form.

import { Option, type Command } from "commander";

import type { UpstreamSpec } from "../api/generated/upstreams.ts";
import type { ResourceView } from "../api/control/resources.ts";
import { hostsOptions, mirrorOptions } from "../config/options/nodes.ts";
import { programName } from "../config/program-name.ts";
import { isLoopback, parseAddress, parseHost, parseNames, type WrittenNames } from "../nodes/addresses.ts";
import type { NodeConfiguration } from "../nodes/form.ts";
import type { Mirror, MirroredHost } from "../nodes/mirror.ts";
import { platforms, type Platform, type PlatformName } from "../nodes/platforms.ts";
import { ask, askingCommand, option, repeatable } from "./command-line.ts";
import { CommandError } from "./failure.ts";
import { mirrorOf, type MirrorValues } from "./mirror-values.ts";
import { note, print } from "./output.ts";

interface HostsValues extends MirrorValues {
  readonly for: PlatformName | "kubelet";
  readonly host?: readonly string[];
  readonly upstream?: readonly WrittenNames[];
  readonly output?: string;
}

export function hostsCommand(): Command {
  const command = askingCommand("hosts", "configure nodes, and builders, to pull through this registry")
    .addOption(
      new Option("--for <platform>", "whose configuration is wanted").choices([...Object.keys(platforms), "kubelet"]).makeOptionMandatory(),
    )
    .addOption(option(mirrorOptions.address, parseAddress).makeOptionMandatory())
    .addOption(option(mirrorOptions.ca))
    .addOption(option(mirrorOptions.user))
    .addOption(option(mirrorOptions.passwordFile))
    .addOption(repeatable(hostsOptions.host, parseHost))
    .addOption(repeatable(hostsOptions.upstream, parseNames))
    .addOption(option(hostsOptions.output));
  return command
    .addHelpText(
      "after",
      "\nHosts are those that Upstreams of the registry list (spec.hosts); every form keeps the way back to the registry itself." +
        "\n--for kubelet is not about mirrors: it lets Pods pull by their ServiceAccount, without a pull secret (docs/guides/nodes.md).",
    )
    .action(async (values: HostsValues, self: Command) => {
      const mirror = await mirrorOf(values);
      await show(await configuration(values, mirror, self), values);
      if (mirror.login !== undefined && values.address.startsWith("http://"))
        note(`The password of ${mirror.login.user} goes over the network as it is: anybody on the way reads it. https:// keeps it.`);
    });
}

async function configuration(values: HostsValues, mirror: Mirror, command: Command): Promise<NodeConfiguration> {
  if (values.for === "kubelet") {
    refuseLoopback(mirror, {});
    const { kubeletConfiguration } = await import("../nodes/credential-provider.ts");
    return kubeletConfiguration(mirror);
  }
  const platform: Platform = platforms[values.for];
  refuseLoopback(mirror, platform);
  return platform.form(mirror, chosen(await hostsOf(values, command), values));
}

function refuseLoopback({ address }: Mirror, { local }: Pick<Platform, "local">): void {
  if (local === true || !isLoopback(address)) return;
  throw new CommandError(
    `${address} is each node itself: there is no registry there. Give the ClusterIP of the registry's Service (fixed by the value service.clusterIP), ` +
      "or a name that nodes resolve. For trying alone, a NodePort is reached as localhost:<port>/… in image references, and needs no configuration.",
  );
}

/** By host. */
async function hostsOf({ upstream }: HostsValues, command: Command): Promise<readonly MirroredHost[]> {
  const { serverOf } = await import("../nodes/mirror.ts");
  if (upstream !== undefined) return upstream.map(({ host, ...names }) => ({ host, server: serverOf(host), names }));
  let found: MirroredHost[] = [];
  await ask(command, async ({ control }) => {
    found = (await control.resources()).flatMap((view) => mirrored(view, serverOf));
  });
  if (found.length === 0)
    throw new CommandError(
      "No Upstream of this registry lists a host, so it answers no node that asks it as a mirror. Write one into `hosts` of an Upstream, for example " +
        "`hosts: [docker.io]`; or say which prefixes there are with --upstream.",
    );
  return found.toSorted((one, other) => (one.host < other.host ? -1 : 1));
}

function mirrored({ kind, spec }: ResourceView, serverOf: (host: string) => string): MirroredHost[] {
  if (kind !== "Upstream") return [];
  const { hosts, prefix, repositoryPrefix, url } = spec as UpstreamSpec;
  // They become names of files: what a registry says is judged as what a person writes.
  return hosts.map(parseHost).map((host) => ({
    host,
    // One that speaks plain http, in a network of its own.
    server: url === `http://${host}` ? url : serverOf(host),
    names: { prefix, repositoryPrefix },
  }));
}

function chosen(found: readonly MirroredHost[], { host: wanted, address }: HostsValues): readonly MirroredHost[] {
  const names = found.map(({ host }) => host);
  const unknown = wanted?.find((host) => !names.includes(host));
  if (unknown !== undefined)
    throw new CommandError(
      `No Upstream serves ${unknown} (there are ${names.join(", ")}): the registry would answer 404 and nodes go on to ${unknown} itself. ` +
        `Write it into \`hosts\` of an Upstream; \`${programName()} get upstreams\` lists them.`,
    );
  const own = (wanted ?? names).find((host) => host === new URL(address).host);
  if (own !== undefined) throw new CommandError(`${own} is the registry itself (--address): it cannot be a mirror of its own.`);
  return found.filter(({ host }) => wanted?.includes(host) ?? true);
}

async function show({ files, notes }: NodeConfiguration, { output }: HostsValues): Promise<void> {
  if (output === undefined) {
    // One file is printed as it is, to be sent on; where the place counts, or there are several, each says where it goes.
    if (files.length === 1 && files[0]?.name.includes("/") === false) print(files[0]?.text ?? "");
    else print(files.map(({ name, text }) => `# ${name}\n${text}`).join("\n"));
  } else {
    const { writeFiles } = await import("../nodes/write-files.ts");
    for (const path of await writeFiles(output, files)) note(`Wrote ${path}.`);
  }
  for (const line of notes) note(line);
}
