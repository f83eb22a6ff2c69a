// Files that a program takes its secrets from: in a folder which only this user may enter.

import { lstat, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { RecordError } from "./errors.ts";

export class PrivateFolder {
  #path: string | undefined;

  /** Absolute; made when it is needed first. Rejects with RecordError GitFailed where it cannot be made. */
  async path(): Promise<string> {
    const known = this.#path === undefined ? undefined : await lstat(this.#path).catch(() => undefined);
    // What bears its name after it was tidied away may be somebody else's.
    if (this.#path === undefined || known?.isDirectory() !== true || known.uid !== process.getuid?.()) {
      this.#path = await mkdtemp(join(tmpdir(), "wharfinger-git-")).catch((cause: NodeJS.ErrnoException) => {
        const way = "mount an empty folder there that this process may write, or name another one with TMPDIR";
        throw new RecordError(
          "GitFailed",
          `${tmpdir()} takes no files (${cause.code ?? cause.message}), and git reads keys from files: ${way}`,
          { cause },
        );
      });
    }
    return this.#path;
  }

  /** To be called before every use: who tidies up folders for temporary files knows nothing of us. Returns the folder. */
  async write(contents: Readonly<Record<string, string | Uint8Array>>): Promise<string> {
    const folder = await this.path();
    for (const [name, content] of Object.entries(contents)) await writeFile(join(folder, name), content, { mode: 0o600 });
    return folder;
  }

  async close(): Promise<void> {
    if (this.#path !== undefined) await rm(this.#path, { recursive: true, force: true });
    this.#path = undefined;
  }
}
