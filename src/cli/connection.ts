// Which registry a subcommand talks to, and with which token: one at an address, the process of a data folder, or that of a cluster.

import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { ControlClient } from "../client/control-client.ts";
import { tokenFromEnvironment, tokenVariable } from "../config/options/client.ts";
import { dataFiles } from "../standalone/data-folder.ts";
import { CommandError, explain } from "./failure.ts";
import { note } from "./output.ts";

export interface ConnectionOptions {
  readonly registry?: string;
  readonly data: string;
  /** --data was given (or its twin), so its token is meant for --registry. */
  readonly dataGiven: boolean;
  readonly tokenFile?: string;
  readonly ca?: string;
  readonly verbose?: boolean;
  /** The command asks no cluster. */
  readonly onlyDirect?: boolean;
}

export interface Connection {
  readonly url: string;
  readonly token: string | undefined;
  /** File with the authority of its certificate. */
  readonly ca: string | undefined;
  /** Of resources that are named without one. */
  readonly namespace: string;
  /** The folder of the registry's record; undefined where nothing says that the registry is the one of the data folder. */
  readonly record: string | undefined;
  readonly control: ControlClient;
}

/** Runs `work` against the registry. Whatever it rejects with comes back as something a person can act on. */
export async function connected<T>(options: ConnectionOptions, work: (connection: Connection) => Promise<T>): Promise<T> {
  const running = await addressIn(options.data);
  const url = options.registry ?? running;
  if (url === undefined) {
    throw new CommandError(
      `No registry is running on the data folder ${options.data} (there is no ${join(options.data, dataFiles.address)}). ` +
        "Start it with `npm start`, or name the folder of a running one with --data, " +
        (options.onlyDirect === true ? "or a registry with --registry." : "a registry with --registry, or a cluster with --context."),
    );
  }
  const { token, from } = await findToken(url, running, options);
  if (options.verbose === true)
    note(`Asking the registry at ${url} ${from === undefined ? "without a token" : `with the token from ${from}`}.`);
  const control = new ControlClient({ url, caFile: options.ca, ...(token === undefined ? {} : { token }) });
  try {
    const ours = options.dataGiven || sameOrigin(url, running);
    return await work({
      url,
      token,
      ca: options.ca,
      control,
      record: ours ? join(options.data, "record") : undefined,
      namespace: "default",
    });
  } catch (error) {
    throw explain(error, { url, tokenFrom: from });
  } finally {
    await control.close();
  }
}

/** URL of the process that runs on a data folder; undefined when none does. */
export function addressIn(data: string): Promise<string | undefined> {
  return read(join(data, dataFiles.address));
}

/** A token that somebody named, instead of those that are found. */
export async function givenToken({
  tokenFile,
}: Pick<ConnectionOptions, "tokenFile">): Promise<{ token: string; from: string } | undefined> {
  if (tokenFile !== undefined) {
    const token = await read(tokenFile);
    if (token === undefined) throw new CommandError(`${tokenFile} (--token-file) is not there, or empty.`);
    return { token, from: tokenFile };
  }
  const token = tokenFromEnvironment();
  return token === undefined ? undefined : { token, from: tokenVariable };
}

/** The admin token goes to its own registry; anywhere else only when somebody named the folder. */
async function findToken(url: string, running: string | undefined, options: ConnectionOptions): Promise<{ token?: string; from?: string }> {
  const given = await givenToken(options);
  if (given !== undefined) return given;
  if (!options.dataGiven && !sameOrigin(url, running) && !isLoopback(url)) return {};
  const file = join(options.data, dataFiles.adminToken);
  const token = await read(file);
  return token === undefined ? {} : { token, from: file };
}

function sameOrigin(url: string, other: string | undefined): boolean {
  return other !== undefined && new URL(url).origin === new URL(other).origin;
}

function isLoopback(url: string): boolean {
  const { hostname } = new URL(url);
  return hostname === "localhost" || hostname === "[::1]" || /^127(?:\.\d+){3}$/.test(hostname);
}

/** Undefined when there is no such file or nothing in it. */
async function read(file: string): Promise<string | undefined> {
  try {
    const text = (await readFile(file, "utf8")).trim();
    return text === "" ? undefined : text;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    if (code === "EACCES")
      throw new CommandError(`${file} cannot be read: it belongs to somebody else, such as the user who runs the registry.`);
    throw error;
  }
}
