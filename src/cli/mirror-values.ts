// What `hosts` and `nodes` are told of the registry as a mirror, out of their flags and files.

import { readFile } from "node:fs/promises";

import type { Mirror } from "../nodes/mirror.ts";
import { isInternal } from "../nodes/addresses.ts";
import { CommandError } from "./failure.ts";

export interface MirrorValues {
  readonly address: string;
  readonly ca?: string;
  readonly user: string;
  readonly passwordFile?: string;
}

/** Reads the files. Rejects with CommandError. */
export async function mirrorOf({ address, ca, user, passwordFile }: MirrorValues): Promise<Mirror> {
  if (ca !== undefined && address.startsWith("http://"))
    throw new CommandError(`--ca is for an address with https://; ${address} has no certificate. Leave --ca out, or write https://.`);
  if (user.includes(":")) throw new CommandError("--user has a colon in it, which Basic authentication cannot say.");
  const authority = ca === undefined ? undefined : await contentOf(ca, "--ca");
  if (authority !== undefined && !authority.includes("-----BEGIN CERTIFICATE-----"))
    throw new CommandError(`${ca} (--ca) has no certificate in it: a PEM file begins with -----BEGIN CERTIFICATE-----.`);
  const password = passwordFile === undefined ? undefined : (await contentOf(passwordFile, "--password-file")).trim();
  if (password === "") throw new CommandError(`${passwordFile} (--password-file) is empty.`);
  if (password !== undefined && address.startsWith("http://") && !isInternal(address)) {
    throw new CommandError(
      `The password of ${user} would go to ${address} as it is, with every pull, and that is no address of an internal network: write https://, the ` +
        "ClusterIP of the registry's Service, or leave --password-file out.",
    );
  }
  return {
    address,
    ...(authority === undefined ? {} : { authority }),
    ...(password === undefined ? {} : { login: { user, password } }),
  };
}

async function contentOf(file: string, flag: string): Promise<string> {
  return readFile(file, "utf8").catch((cause: NodeJS.ErrnoException) => {
    throw new CommandError(`${file} (${flag}) cannot be read: ${cause.code ?? cause.message}.`, { cause });
  });
}
