// An installation in a namespace of a cluster: a registry and `wharfinger operator` as processes, and what people do there with kubectl.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { ControlClient } from "../../src/client/control-client.ts";
import type { Kind } from "../../src/domain/resource.ts";
import type { KubernetesApi } from "./kubernetes-access.ts";
import { createNamespace } from "./kubernetes.ts";
import { startOperatorProcess, type OperatorProcessOptions } from "./operator-process.ts";
import { gitAsPerson } from "./persons-git.ts";
import { createMigratedDatabase } from "./postgres.ts";
import { startRegistryProcess } from "./registry-process.ts";
import { resourcePath, type StoredResource } from "./resource-api.ts";
import { processToken, type ServingProcess } from "./serving-process.ts";
import { sharedApiServer } from "./shared-kubernetes.ts";

export interface OperatorWorldOptions {
  /** The run's shared one by default. One of the test's own has our definitions already. */
  readonly api?: KubernetesApi;
  /** Settings of the registry besides its database and storage; of the namespace, where they name it. */
  readonly registry?: RegistrySettings | ((namespace: string) => RegistrySettings | Promise<RegistrySettings>);
  /** The registry's folder of Secrets. */
  readonly secrets?: string;
}

type RegistrySettings = Readonly<Record<string, unknown>>;

export interface WorldParts {
  readonly api: KubernetesApi;
  readonly namespace: string;
  readonly folder: string;
  readonly kubeconfig: string;
  readonly registry: ServingProcess;
  readonly control: ControlClient;
}

export class OperatorWorld implements WorldParts {
  api: KubernetesApi;
  readonly namespace: string;
  /** Goes with the world. */
  readonly folder: string;
  /** The operator's: it may do what deploy/operator/role.yaml says, as in a cluster. */
  kubeconfig: string;
  registry: ServingProcess;
  control: ControlClient;
  /** The one that was started last. */
  operator: ServingProcess | undefined;
  #startedWith: Partial<OperatorProcessOptions> = {};
  #closed = false;
  /** Another operator comes after one that ended, whatever ended it; otherwise only after one that lost its Lease by time. */
  protected replacesAll = false;
  protected replacing: Promise<void> = Promise.resolve();
  readonly #stack: AsyncDisposableStack;

  protected constructor(parts: WorldParts, stack: AsyncDisposableStack) {
    this.api = parts.api;
    this.namespace = parts.namespace;
    this.folder = parts.folder;
    this.kubeconfig = parts.kubeconfig;
    this.registry = parts.registry;
    this.control = parts.control;
    this.#stack = stack;
  }

  /** With everything but an operator. */
  static async open(options: OperatorWorldOptions = {}): Promise<OperatorWorld> {
    await using stack = new AsyncDisposableStack();
    return new OperatorWorld(await openParts(stack, options), stack.move());
  }

  close(): Promise<void> {
    this.#closed = true;
    return this.#stack.disposeAsync();
  }

  /** Called when the world closes, in the opposite order. */
  defer(close: () => Promise<unknown>): void {
    this.#stack.defer(async () => void (await close()));
  }

  /** The operator's folder, where it has no remote. */
  get record(): string {
    return join(this.folder, "record");
  }

  /** Resolves when its probes answer. One more than there is waits until the Lease is free. */
  async startOperator(options: Partial<OperatorProcessOptions> = {}): Promise<ServingProcess> {
    const { kubeconfig, namespace, registry, record } = this;
    const started = await startOperatorProcess({
      kubeconfig,
      namespaces: [namespace],
      registry: registry.controlUrl,
      pullFrom: registry.url,
      record,
      ...options,
    });
    this.defer(() => started.stop());
    this.operator = started;
    this.#startedWith = options;
    void started.exited.then((code) => (this.replacing = this.#replace(started, code)));
    return started;
  }

  /** As a Deployment does. On a machine that has too much to do a Lease may be lost by time alone. */
  async #replace(operator: ServingProcess, code: number): Promise<void> {
    const late = code === 1 && operator.logs().includes("could not be renewed in time");
    if (this.#closed || this.operator !== operator || !(late || this.replacesAll)) return;
    await this.startOperator(this.#startedWith).catch(() => undefined);
  }

  /** What is done while no operator is there is news of one round to the next: of several things one that runs may hear one after the other. */
  async whileAway(work: () => Promise<unknown>): Promise<void> {
    await this.operator?.stop();
    await work();
    await this.startOperator(this.#startedWith);
  }

  /** Its stdout; rejects with what it and the operator said unless it ends with 0. */
  kubectl(args: readonly string[], input?: string): Promise<string> {
    return kubectl(this.api, ["-n", this.namespace, ...args], { input, logs: () => this.operator?.logs() ?? "" });
  }

  async apply(...documents: readonly string[]): Promise<void> {
    await this.kubectl(["apply", "-f", "-"], documents.join("---"));
  }

  /** Waits until a field of a resource (`upstream/chainguard`, `{.status.recordedGeneration}`) has the value. */
  async becomes(resource: string, field: string, value: string): Promise<void> {
    await this.kubectl(["wait", `--for=jsonpath=${field}=${value}`, resource, "--timeout=120s"]);
  }

  /** Waits until the condition is True: of `upstream/chainguard`, or of all with `upstream`, `--all`. */
  async hasCondition(type: string, ...resource: readonly string[]): Promise<void> {
    await this.kubectl(["wait", `--for=condition=${type}`, ...resource, "--timeout=120s"]);
  }

  async stored(kind: Kind, name: string): Promise<StoredResource> {
    const { status, body } = await this.api.send<StoredResource>("GET", resourcePath(kind, this.namespace, name));
    if (status !== 200) throw new Error(`${kind} ${name}: ${JSON.stringify(body)}`);
    return body;
  }

  async condition(kind: Kind, name: string, type: string): Promise<Condition | undefined> {
    const { conditions = [] } = ((await this.stored(kind, name)).status ?? {}) as { conditions?: readonly Condition[] };
    return conditions.find((condition) => condition.type === type);
  }

  /** git as a person runs it in the operator's folder. */
  git(...args: readonly string[]): string {
    return gitAsPerson(this.record, ...args);
  }
}

/** What a world begins with; it ends with the stack. */
export async function openParts(stack: AsyncDisposableStack, options: OperatorWorldOptions): Promise<WorldParts> {
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-operator-world-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const api = options.api ?? (await sharedApiServer());
  const namespace = await createNamespace(api);
  const settings = typeof options.registry === "function" ? await options.registry(namespace) : options.registry;
  const serving = await startRegistry(stack, folder, { settings, secrets: options.secrets });
  return { api, namespace, folder, kubeconfig: await installOperator(api, namespace), ...serving };
}

/** An empty one. */
export async function startRegistry(
  stack: { defer(close: () => Promise<void>): void },
  folder: string,
  { settings = {}, secrets }: { settings?: RegistrySettings | undefined; secrets?: string | undefined },
): Promise<Pick<WorldParts, "registry" | "control">> {
  const database = await createMigratedDatabase();
  stack.defer(() => database.drop());
  const storage = { folder: await mkdtemp(join(folder, "blobs-")) };
  // As in a cluster: what tells it what to serve, and whether it is well, is not where images are pulled.
  const apart = ["--control-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
  const args = [...apart, ...(secrets === undefined ? [] : ["--secrets", secrets])];
  const registry = await startRegistryProcess({ settings: { ...settings, database: { url: database.url }, storage }, args });
  stack.defer(async () => void (await registry.stop()));
  const control = new ControlClient({ url: registry.controlUrl, token: processToken });
  stack.defer(() => control.close());
  return { registry, control };
}

/** The operator's ServiceAccount with its rights in the namespace. Resolves with its kubeconfig. */
export async function installOperator(api: KubernetesApi, namespace: string): Promise<string> {
  const account = `--serviceaccount=${namespace}:default`;
  await kubectl(api, ["-n", namespace, "apply", "-f", "deploy/operator/role.yaml"]);
  await kubectl(api, ["-n", namespace, "create", "rolebinding", "wharfinger-operator", "--role=wharfinger-operator", account]);
  return api.serviceAccountKubeconfig(namespace, "default");
}

interface KubectlOptions {
  readonly input?: string | undefined;
  readonly logs?: () => string;
}

async function kubectl(api: KubernetesApi, args: readonly string[], { input, logs = () => "" }: KubectlOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await api.kubectl(args, input === undefined ? {} : { input });
  if (code !== 0) throw new Error(`kubectl ${args.join(" ")} ended with ${code}: ${stderr}${stdout}\n${logs()}`);
  return stdout.trim();
}

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
}

/** An Upstream whose registry is never asked. `fields`: more of its spec, as `, auth: {…}`. */
export function offlineUpstream({ name = "chainguard", prefix = "cgr", fields = "" } = {}): string {
  return `
apiVersion: wharfinger.dev/v1alpha1
kind: Upstream
metadata: {name: ${name}}
spec: {url: "https://${prefix}.example.org", prefix: ${prefix}, offline: true${fields}}
`;
}
