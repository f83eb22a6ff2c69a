// A clone of the record for a person, with what the person's own git is set up with: credentials, proxies, signing.

import { spawn } from "node:child_process";
import { once } from "node:events";

import { RecordError } from "./errors.ts";

export interface CloneOptions {
  /** https://, ssh://, or a folder of this machine. */
  readonly from: string;
  readonly branch?: string;
  /** That must not be there yet. */
  readonly folder: string;
}

/** What git says goes to stderr. Rejects with RecordError when it ends with anything but 0. */
export async function cloneRecord({ from, branch, folder }: CloneOptions): Promise<void> {
  const args = ["clone", ...(branch === undefined ? [] : [`--branch=${branch}`]), "--", from, folder];
  // Where the record is comes from a cluster: git has other transports, some of which run programs.
  const env = { ...process.env, GIT_ALLOW_PROTOCOL: "https:ssh:file" };
  const child = spawn("git", args, { stdio: ["inherit", 2, 2], env });
  const [code] = (await once(child, "close").catch((cause: Error) => {
    throw new RecordError("GitMissing", `git could not be started: ${cause.message}`, { cause });
  })) as [number | null];
  if (code !== 0) throw new RecordError("GitFailed", `git ${args.join(" ")} ended with ${code ?? "a signal"}.`);
}
