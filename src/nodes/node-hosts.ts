// Keeps certs.d/<host>/hosts.toml of the node that it runs on, as long as it runs (docs/adr/0025).
//
// A file belongs to the Pod that wrote it last. A new Pod takes over what another Pod of its installation has written, so that while Pods are replaced
// (the new one first) the files are there throughout; the old one removes what still bears its own name, which is then nothing. A Pod without a
// successor removes all it wrote.

import { lstat, mkdir, readdir, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";

import type { Logger } from "../observability/logger.ts";
import type { NodeFile } from "./form.ts";
import { authorityFile, folderOf, hostFiles, hostsFile } from "./forms/containerd.ts";
import { serverOf, type Mirror } from "./mirror.ts";
import { leadOf, look, type Owner } from "./ownership.ts";
import { writeWhole } from "./write-files.ts";

export interface NodeHostsOptions {
  /** containerd's `config_path`. */
  readonly folder: string;
  /** As image references have them; an administrator's list. */
  readonly hosts: readonly string[];
  readonly owner: Owner;
  readonly logger: Logger;
}

/** Why a host is not configured, a sentence each. */
export type Problems = readonly string[];

export class NodeHosts {
  readonly #options: NodeHostsOptions;
  readonly #lead: string;
  #tookOver = false;

  constructor(options: NodeHostsOptions) {
    this.#options = options;
    this.#lead = leadOf(options.owner);
  }

  /** Writes what is missing or not as it should be. What others wrote stays, and is told of. */
  async keep(mirror: Mirror): Promise<Problems> {
    const { folder, hosts } = this.#options;
    await mkdir(folder, { recursive: true });
    const problems: string[] = [];
    for (const host of hosts) {
      const problem = await this.#keepHost(host, mirror);
      if (problem !== undefined) problems.push(problem);
    }
    // Once: what comes later was written by a successor, which knows better.
    if (!this.#tookOver) await this.#removeAll(({ installation }, name) => this.#isOurs(installation) && !this.#isWanted(name));
    this.#tookOver = true;
    return problems;
  }

  /** Removes what no successor has taken over. */
  async release(): Promise<void> {
    const { owner } = this.#options;
    await this.#removeAll(({ installation, pod }) => this.#isOurs(installation) && pod === owner.pod);
  }

  async #keepHost(host: string, mirror: Mirror): Promise<string | undefined> {
    const folder = join(this.#options.folder, folderOf(host));
    const files = hostFiles(mirror, { server: serverOf(host) }, this.#lead);
    const foreign = await this.#foreignIn(folder);
    if (foreign !== undefined) return `${host} is left as it is: ${foreign}`;
    if (this.#tookOver && (await this.#hasSuccessor(folder))) return undefined;
    await mkdir(folder, { recursive: true });
    for (const file of files) await this.#write(folder, file);
    // An authority that is no longer needed.
    if (!files.some(({ name }) => name === authorityFile)) await rm(join(folder, authorityFile), { force: true });
    return undefined;
  }

  async #foreignIn(folder: string): Promise<string | undefined> {
    const stat = await lstat(folder).catch(() => undefined);
    if (stat === undefined) return undefined;
    if (!stat.isDirectory()) return `${folder} is no folder.`;
    for (const name of [hostsFile, authorityFile]) {
      const found = await look(join(folder, name));
      if (found.state === "foreign") return `${join(folder, name)} was written by somebody else.`;
      if (found.state === "ours" && !this.#isOurs(found.owner.installation))
        return `${join(folder, name)} was written by another installation, ${found.owner.installation}.`;
    }
    // containerd reads these as long as there is no hosts.toml.
    const certificate = (await readdir(folder)).find((name) => name !== authorityFile && /\.(?:crt|cert|key)$/.test(name));
    return certificate === undefined ? undefined : `${join(folder, certificate)} would not be read any more beside a hosts.toml.`;
  }

  async #hasSuccessor(folder: string): Promise<boolean> {
    const found = await look(join(folder, hostsFile));
    return found.state === "ours" && found.owner.pod !== this.#options.owner.pod;
  }

  async #write(folder: string, { name, text, secret }: NodeFile): Promise<void> {
    const path = join(folder, name);
    const found = await look(path);
    if (found.state === "ours" && found.text === text) return;
    await writeWhole(path, text, secret === true ? 0o600 : 0o644);
    this.#options.logger.info(`wrote ${path}`);
  }

  async #removeAll(which: (owner: Owner, folderName: string) => boolean): Promise<void> {
    const { folder, logger } = this.#options;
    for (const name of await readdir(folder).catch(() => [])) {
      const at = join(folder, name);
      if (!(await lstat(at)).isDirectory()) continue;
      let removed = false;
      // First the file that names the other.
      for (const file of [hostsFile, authorityFile]) {
        const found = await look(join(at, file));
        if (found.state !== "ours" || !which(found.owner, name)) continue;
        await rm(join(at, file));
        removed = true;
        logger.info(`removed ${join(at, file)}`);
      }
      // Not while something else is in it.
      if (removed) await rmdir(at).catch(() => undefined);
    }
  }

  #isOurs(installation: string): boolean {
    return installation === this.#options.owner.installation;
  }

  #isWanted(folderName: string): boolean {
    return this.#options.hosts.some((host) => folderOf(host) === folderName);
  }
}
