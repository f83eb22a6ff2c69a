// A control plane whose record is a branch of a real Git host, and the people who push to it from clones of their own.

import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { remoteOf, type RemoteSettings } from "../../src/record/remote-options.ts";
import type { ControlPlane } from "../../src/operator/control-plane.ts";
import { World } from "./control-plane.ts";
import type { BareRepository, GitHost } from "./git-remote.ts";
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

  private constructor(host: GitHost, repository: BareRepository, config?: string) {
    super(config);
    this.host = host;
    this.repository = repository;
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

  /** git as a person runs it in a clone: brought up to date before, pushed afterwards, by force where history was rewritten. */
  override git(...args: string[]): string {
    if (!existsSync(this.clone)) this.#git(this.folder, "clone", "-q", "-b", "wharfinger", this.repository.path, this.clone);
    this.#git(this.clone, "fetch", "-q", "origin");
    if (this.#git(this.clone, "status", "--porcelain") === "") this.#git(this.clone, "reset", "-q", "--hard", "origin/wharfinger");
    const said = this.#git(this.clone, ...args);
    const [mine, theirs] = ["HEAD", "origin/wharfinger"].map((name) => this.#git(this.clone, "rev-parse", name));
    if (mine !== theirs) this.#git(this.clone, "push", "-q", "--force", "origin", "HEAD:wharfinger");
    return said;
  }

  /** Changes a file of the record and pushes that. Returns the commit. */
  edit(path: string, change: (text: string) => string, message = "by hand"): string {
    this.git("status");
    const file = join(this.clone, path);
    writeFileSync(file, change(readFileSync(file, "utf8")));
    this.git("commit", "-qam", message);
    return this.head();
  }

  override head(): string {
    return this.repository.head() ?? "";
  }

  override subjects(): string[] {
    return this.repository.git("log", "--format=%s", "wharfinger").split("\n");
  }

  #git(cwd: string, ...args: string[]): string {
    const identity = ["-c", "user.name=Jane Doe", "-c", "user.email=jane@example.org", "-c", "advice.detachedHead=false"];
    return execFileSync("git", [...identity, ...args], { cwd, encoding: "utf8", stdio: "pipe" }).trim();
  }
}
