// What every subcommand shares: options out of the table of src/config, arguments that are judged before anything is asked.

import { Command, InvalidArgumentError, Option } from "commander";

import { clientOptions, parseBoolean, type OptionDefinition } from "../config/options.ts";
import { isDigest } from "../domain/digest.ts";
import { isRepositoryName, isTag } from "../domain/reference.ts";
import type { Connection } from "./connection.ts";
import type { OutputForm } from "./output.ts";

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

/** A subcommand that asks the registry. */
export function clientCommand(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .addOption(option(clientOptions.registry, parseUrl))
    .addOption(option(clientOptions.data))
    .addOption(option(clientOptions.output));
}

/** Runs the work of a client command against the registry that its options name. */
export async function ask(command: Command, work: (connection: Connection, output: OutputForm) => Promise<void>): Promise<void> {
  const { output, ...options } = command.opts<{ registry?: string; data: string; output: OutputForm }>();
  // Loaded only now: `--help` and a typing mistake answer at once.
  const { connected } = await import("./connection.ts");
  await connected({ ...options, dataGiven: command.getOptionValueSource("data") !== "default" }, (connection) => work(connection, output));
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

/** `namespace/name`; a name alone is in `default`, as in the resources. */
export function parseResourceName(text: string): string {
  const parts = text.includes("/") ? text.split("/") : ["default", text];
  if (parts.length !== 2 || !parts.every((part) => resourceName.test(part)))
    throw new InvalidArgumentError("Write namespace/name, for example default/chainguard.");
  return parts.join("/");
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
