// SSH keys as people and Secrets have them.

import { writeFileSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { program } from "./programs.ts";

export interface SshKey {
  /** The text of the file that ssh-keygen writes. */
  readonly privateKey: string;
  /** `ssh-ed25519 AAAA…` */
  readonly publicKey: string;
}

export async function createSshKey({ passphrase = "", type = "ed25519" } = {}): Promise<SshKey> {
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-ssh-key-"));
  try {
    const file = join(folder, "key");
    const { code, stderr } = await program("ssh-keygen", ["-q", "-t", type, "-N", passphrase, "-C", "", "-f", file]);
    if (code !== 0) throw new Error(`ssh-keygen: ${stderr}`);
    return { privateKey: await readFile(file, "utf8"), publicKey: (await readFile(`${file}.pub`, "utf8")).trim() };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Arguments of git, before its command, with which a person's commits are signed; the key is written into `folder`. */
export function signedWith({ privateKey, publicKey }: SshKey, folder: string): readonly string[] {
  const file = join(folder, `key-${publicKey.slice(-12).replaceAll(/\W/g, "_")}`);
  writeFileSync(file, privateKey, { mode: 0o600 });
  return ["-c", "gpg.format=ssh", "-c", `user.signingKey=${file}`, "-c", "commit.gpgSign=true"];
}
