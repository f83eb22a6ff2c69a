// Which registry a subcommand talks to, and with which token.

import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { ControlClient } from "../client/control-client.ts";
import { tokenFromEnvironment, tokenVariable } from "../config/options.ts";
import { dataFiles } from "../standalone/data-folder.ts";
import { CommandError, explain } from "./failure.ts";

export interface ConnectionOptions {
  readonly registry?: string;
  readonly data: string;
  /** --data was given (or its twin), so its token is meant for --registry. */
  readonly dataGiven: boolean;
}

export interface Connection {
  readonly url: string;
  readonly token: string | undefined;
  /** The folder of the registry's record; undefined where nothing says that the registry is the one of the data folder. */
  readonly record: string | undefined;
  readonly control: ControlClient;
}

/** Runs `work` against the registry. Whatever it rejects with comes back as something a person can act on. */
export async function connected<T>(options: ConnectionOptions, work: (connection: Connection) => Promise<T>): Promise<T> {
  const running = await read(join(options.data, dataFiles.address));
  const url = options.registry ?? running;
  if (url === undefined) {
    throw new CommandError(
      `No registry is running on the data folder ${options.data} (there is no ${join(options.data, dataFiles.address)}). ` +
        "Start it with `npm start`, or name the folder of a running one with --data, or a registry with --registry.",
    );
  }
  const { token, from } = await findToken(url, running, options);
  const control = new ControlClient({ url, ...(token === undefined ? {} : { token }) });
  try {
    const ours = options.dataGiven || sameOrigin(url, running);
    return await work({ url, token, control, record: ours ? join(options.data, "record") : undefined });
  } catch (error) {
    throw explain(error, { url, tokenFrom: from });
  } finally {
    await control.close();
  }
}

/** The admin token goes to its own registry; anywhere else only when somebody named the folder. */
async function findToken(url: string, running: string | undefined, options: ConnectionOptions): Promise<{ token?: string; from?: string }> {
  const given = tokenFromEnvironment();
  if (given !== undefined) return { token: given, from: tokenVariable };
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
      throw new CommandError(`${file} cannot be read: it belongs to the user who runs the registry. Run this as that user.`);
    throw error;
  }
}
