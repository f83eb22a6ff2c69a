// A clone of the record for a person, with what the person's own git is set up with: credentials, proxies, signing.

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";

import { RecordError } from "./errors.ts";

/** How git comes to a record that has no address of its own. */
export interface GitWay {
  /** As the clone remembers it; git alone cannot go there. */
  readonly name: string;
  /** Where it is while this way is open: http://127.0.0.1:port */
  readonly origin: string;
  readonly token: string;
}

export interface CloneOptions {
  /** https://, ssh://, a folder of this machine, or the name of the way. */
  readonly from: string;
  readonly branch?: string;
  /** That must not be there yet. */
  readonly folder: string;
  readonly way?: GitWay;
}

/** What git says goes to stderr. Rejects with RecordError when it ends with anything but 0. */
export function cloneRecord({ from, branch, folder, way }: CloneOptions): Promise<void> {
  const args = ["clone", ...(branch === undefined ? [] : [`--branch=${branch}`]), "--", from, folder];
  // Where the record is comes from a cluster: git has other transports, some of which run programs.
  return runGit(args, way === undefined ? { GIT_ALLOW_PROTOCOL: "https:ssh:file" } : environmentOf(way));
}

/** Runs git in a clone that was made by such a way. As `cloneRecord`. */
export function gitInClone(folder: string, args: readonly string[], way: GitWay): Promise<void> {
  return runGit(["-C", folder, ...args], environmentOf(way));
}

/** From where the folder was cloned; undefined: it is no clone. */
export async function originOf(folder: string): Promise<string | undefined> {
  const child = spawn("git", ["-C", folder, "config", "--local", "--get", "remote.origin.url"], { stdio: ["ignore", "pipe", "ignore"] });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
  const code = await ended(child);
  return code === 0 && text.trim() !== "" ? text.trim() : undefined;
}

async function runGit(args: readonly string[], env: Readonly<Record<string, string>>): Promise<void> {
  const code = await ended(spawn("git", args, { stdio: ["inherit", 2, 2], env: { ...process.env, ...env } }));
  if (code !== 0) throw new RecordError("GitFailed", `git ${args.join(" ")} ended with ${code ?? "a signal"}.`);
}

async function ended(child: ChildProcess): Promise<number | null> {
  const [code] = (await once(child, "close").catch((cause: Error) => {
    throw new RecordError("GitMissing", `git could not be started: ${cause.message}`, { cause });
  })) as [number | null];
  return code;
}

/** The token is in git's environment (git 2.31), where only this user and root read it, for this one address; nobody is asked for another. */
function environmentOf({ name, origin, token }: GitWay): Record<string, string> {
  const entries: readonly (readonly [key: string, value: string])[] = [
    [`url.${origin}/record.git.insteadOf`, name],
    [`http.${origin}/.extraHeader`, `Authorization: Bearer ${token}`],
    // Not by way of a proxy that the person's git knows, which would read the token and know no 127.0.0.1 of ours.
    [`http.${origin}/.proxy`, ""],
    [`http.${origin}/.followRedirects`, "false"],
    ["credential.helper", ""],
    ["core.askPass", ""],
  ];
  const before = Number(process.env["GIT_CONFIG_COUNT"] ?? 0) || 0;
  const numbered = entries.flatMap(([key, value], index) => [
    [`GIT_CONFIG_KEY_${before + index}`, key],
    [`GIT_CONFIG_VALUE_${before + index}`, value],
  ]);
  return {
    ...(Object.fromEntries(numbered) as Record<string, string>),
    GIT_CONFIG_COUNT: String(before + entries.length),
    GIT_ALLOW_PROTOCOL: "http",
    GIT_TERMINAL_PROMPT: "0",
    GIT_ASKPASS: "",
    SSH_ASKPASS: "",
  };
}
