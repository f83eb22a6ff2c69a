// A control plane whose record is a branch of a real Git host, and the people who push to it from clones of their own.

import { rmSync } from "node:fs";
import { join } from "node:path";

import type { RemoteSettings } from "../../src/domain/record-settings.ts";
import { remoteOf } from "../../src/record/remote-options.ts";
import type { ControlPlane } from "../../src/operator/control-plane.ts";
import { World } from "./control-plane.ts";
import type { BareRepository, GitHost } from "./git-remote.ts";
import { PersonsClone } from "./persons-git.ts";
import { TestSecrets } from "./registry.ts";

let repositories = 0;

export class RemoteWorld extends World {
  /** Somebody's clone. */
  readonly clone = join(this.folder, "clone");
  readonly host: GitHost;
  readonly repository: BareRepository;
  /** Those of the operator. */
  readonly gitSecrets = new TestSecrets();
  /** An operator in a cluster has one that outlives its volume. */
  installation = "first";
  readonly #siblings: RemoteWorld[] = [];
  readonly #person: PersonsClone;

  private constructor(host: GitHost, repository: BareRepository, config?: string) {
    super(config);
    this.host = host;
    this.repository = repository;
    this.#person = new PersonsClone(this.clone, repository);
    this.gitSecrets.set("default", "git", host.secret);
    this.setRemote({});
  }

  /** With a repository of its own, in which nothing is yet. */
  static async on(host: GitHost): Promise<RemoteWorld> {
    const world = new RemoteWorld(host, host.repository(`record-${++repositories}`));
    await world.startRegistry();
    return world;
  }

  /** Another operator of the same installation: the same resources, registry and remote, a clone of its own. */
  sibling(): RemoteWorld {
    const other = new RemoteWorld(this.host, this.repository, this.config);
    other.registry = this.registry;
    other.client = this.client;
    other.operator = this.operator;
    this.#siblings.push(other);
    return other;
  }

  setRemote(part: Partial<RemoteSettings>): void {
    const settings = {
      url: this.host.urlOf(this.repository),
      branch: "wharfinger",
      folder: "",
      secretRef: { namespace: "default", name: "git" },
      interval: 500,
      timeout: 20_000,
      ...part,
    };
    this.remote = remoteOf(settings, this.gitSecrets);
  }

  override start(options: Parameters<World["start"]>[0] = {}): Promise<ControlPlane> {
    return super.start({ installation: this.installation, ...options });
  }

  override async close(): Promise<void> {
    for (const sibling of this.#siblings) {
      await sibling.stop();
      rmSync(sibling.folder, { recursive: true, force: true });
    }
    await super.close();
  }

  /** The operator's volume is gone: its clone too. */
  loseClone(): void {
    rmSync(this.recordFolder, { recursive: true, force: true });
  }

  /** git as a person runs it in a clone (./persons-git.ts). */
  override git(...args: string[]): string {
    return this.#person.git(...args);
  }

  /** Changes a file of the record and pushes that. Returns the commit. */
  edit(path: string, change: (text: string) => string, message = "by hand"): string {
    this.#person.edit(path, change, message);
    return this.head();
  }

  override head(): string {
    return this.repository.head() ?? "";
  }

  override subjects(): string[] {
    return this.repository.git("log", "--format=%s", "wharfinger").split("\n");
  }
}
