// SSH keys as people and Secrets have them.

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
