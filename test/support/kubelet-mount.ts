// A Secret as the kubelet mounts it (its AtomicWriter): each content in a folder of its own, `..data` swapped from one to the next, and what the
// process sees a link through it.

import { mkdir, readdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";

export class KubeletMount {
  readonly folder: string;
  #writes = 0;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** Makes the folder, with nothing in it: a Secret that is optional and not there. */
  static async make(folder: string): Promise<KubeletMount> {
    await mkdir(folder, { recursive: true });
    const mount = new KubeletMount(folder);
    await mount.write({});
    return mount;
  }

  /** The whole content; what was before is gone. */
  async write(content: Readonly<Record<string, string | Uint8Array>>): Promise<void> {
    const at = (name: string) => join(this.folder, name);
    const before = (await readdir(this.folder)).filter((name) => /^\.\.\d/.test(name));
    const place = `..${String(++this.#writes).padStart(6, "0")}`;
    await mkdir(at(place));
    for (const [file, bytes] of Object.entries(content)) await writeFile(join(at(place), file), bytes);
    await symlink(place, at("..data_tmp"));
    await rename(at("..data_tmp"), at("..data"));
    const seen = (await readdir(this.folder)).filter((name) => !name.startsWith(".."));
    for (const file of Object.keys(content).filter((name) => !seen.includes(name))) await symlink(join("..data", file), at(file));
    for (const file of seen.filter((name) => !Object.hasOwn(content, name))) await rm(at(file));
    for (const old of before) await rm(at(old), { recursive: true });
  }
}
