// A world in which something goes wrong: the record is at a Git host, clients pull all the time, and clusters, registries and operators come and go.

import { rm } from "node:fs/promises";
import { join } from "node:path";

import type { Failpoint } from "../../src/failpoints/names.ts";
import { answerTo } from "./eventually.ts";
import { GitHost, type BareRepository } from "./git-remote.ts";
import type { KubernetesApi } from "./kubernetes-access.ts";
import { createNamespace } from "./kubernetes.ts";
import type { OperatorProcessOptions } from "./operator-process.ts";
import { installOperator, openParts, OperatorWorld, startRegistry, type OperatorWorldOptions, type WorldParts } from "./operator-world.ts";
import { PersonsClone } from "./persons-git.ts";
import type { ServingProcess } from "./serving-process.ts";
import { startSteadyReader, type SteadyReader } from "./steady-reader.ts";

/** The upstreams of a drill are on this machine. */
const settings = { egress: { allowedCIDRs: ["127.0.0.1/32"] } };

/** A process that kills itself there. */
export function killedAt(step: Failpoint): Pick<OperatorProcessOptions, "node" | "env"> {
  return { node: ["--conditions=failpoints"], env: { FAILPOINT: `${step}:kill` } };
}

/** An Upstream at an address of this machine, under its own name; `fields` as ", hosts: [hub.example]". */
export function upstreamManifest(url: string, name: string, fields = ""): string {
  return `
apiVersion: wharfinger.dev/v1alpha1
kind: Upstream
metadata: {name: ${name}}
spec: {url: "${url}", insecure: true, prefix: ${name}${fields}}
`;
}

export class DrillWorld extends OperatorWorld {
  readonly host: GitHost;
  readonly repository: BareRepository;
  readonly person: PersonsClone;
  reader: SteadyReader;

  private constructor(parts: WorldParts, stack: AsyncDisposableStack, host: GitHost) {
    super(parts, stack);
    this.host = host;
    this.repository = host.repository("record");
    this.person = new PersonsClone(join(this.folder, "clone"), this.repository);
    this.reader = this.#startReader();
  }

  /** With everything but an operator. */
  static async on(api: KubernetesApi, options: Omit<OperatorWorldOptions, "api"> = {}): Promise<DrillWorld> {
    await using stack = new AsyncDisposableStack();
    const parts = await openParts(stack, { registry: settings, ...options, api });
    const host = await GitHost.start();
    stack.defer(() => host.stop());
    const world = new DrillWorld(parts, stack.move(), host);
    await world.#makeSecret();
    return world;
  }

  override startOperator(options: Partial<OperatorProcessOptions> = {}): Promise<ServingProcess> {
    const remote = { url: this.host.urlOf(this.repository), interval: "1s", secretRef: { namespace: this.namespace, name: "record" } };
    return super.startOperator({ ...options, settings: { ...options.settings, record: { remote } } });
  }

  /** The namespace of the same name is made anew, here or in another cluster: empty, as an administrator prepares it. The volume is lost. */
  async begin(api = this.api): Promise<void> {
    await rm(this.record, { recursive: true });
    this.api = api;
    await createNamespace(api, this.namespace);
    this.kubeconfig = await installOperator(api, this.namespace);
    await this.#makeSecret();
  }

  /** Another one, empty. */
  async replaceRegistry(): Promise<void> {
    await this.reader.stop();
    const { registry, control } = await startRegistry(this, this.folder, { settings });
    [this.registry, this.control] = [registry, control];
    this.reader = this.#startReader();
  }

  /** The registry serves what the branch says now. */
  async published(): Promise<void> {
    const is = async () => ((await this.control.record()).revision === this.repository.head() ? true : undefined);
    await answerTo("the branch is published", is, { context: () => this.operator?.logs().slice(-4_000) ?? "" });
  }

  /** Meanwhile an operator that ends is started again, as a kubelet does. */
  async whileKept(drill: () => Promise<void>): Promise<void> {
    this.replacesAll = true;
    try {
      await drill();
    } finally {
      this.replacesAll = false;
    }
    await this.replacing;
  }

  /** Of the branch, oldest first; only what came after `since`. */
  subjects(since?: string | null): readonly string[] {
    const range = since === undefined ? "wharfinger" : `${since ?? ""}..wharfinger`;
    const said = this.repository.git("log", "--reverse", "--topo-order", "--format=%s", range);
    return said === "" ? [] : said.split("\n");
  }

  #startReader(): SteadyReader {
    const reader = startSteadyReader(this.registry.url);
    this.defer(() => reader.stop());
    return reader;
  }

  async #makeSecret(): Promise<void> {
    const literals = Object.entries(this.host.secret).map(([key, text]) => `--from-literal=${key}=${text}`);
    await this.kubectl(["create", "secret", "generic", "record", ...literals]);
  }
}
