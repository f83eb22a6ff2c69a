// What the operator's figures are taken on: an API server with etcd, two registry processes on PostgreSQL and a bucket, a Git host, and the operator
// from dist/ as in a pod, with the rights of deploy/operator and the flags of docs/guides/kubernetes.md.

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { stringify } from "yaml";

import { ControlClient } from "../../src/client/control-client.ts";
import type { Kind } from "../../src/domain/resource.ts";
import { Cluster } from "../chaos/cluster.ts";
import { applyDefinitions } from "../support/definitions.ts";
import { answerTo } from "../support/eventually.ts";
import { GitHost, type BareRepository } from "../support/git-remote.ts";
import { createNamespace, startApiServer, type ApiServer } from "../support/kubernetes.ts";
import { installOperator } from "../support/operator-world.ts";
import { startPostgresHop, type PostgresHop } from "../support/postgres-hop.ts";
import { create, resourcePath, type StoredResource } from "../support/resource-api.ts";
import { processToken, startServing, type ServingProcess } from "../support/serving-process.ts";

const program = resolve(import.meta.dirname, "../../dist/cli/main.js");
export const podFlags = { NODE_OPTIONS: "--max-semi-space-size=4 --max-old-space-size=128", MALLOC_ARENA_MAX: "2" };

export class OperatorCluster implements AsyncDisposable {
  readonly folder: string;
  readonly api: ApiServer;
  readonly namespace: string;
  readonly host: GitHost;
  readonly repository: BareRepository;
  readonly registries: Cluster;
  readonly control: ControlClient;
  /** Between the operator and the API server. */
  readonly hop: PostgresHop;
  /** Requests of the operator to the registry so far. */
  readonly asked: { count: number } = { count: 0 };
  operator: ServingProcess | undefined;
  readonly #stack: AsyncDisposableStack;
  readonly #door: string;
  readonly #kubeconfig: string;

  private constructor(parts: Pick<OperatorCluster, "folder" | "api" | "namespace" | "host" | "registries" | "hop">, more: More) {
    this.folder = parts.folder;
    this.api = parts.api;
    this.namespace = parts.namespace;
    this.host = parts.host;
    this.repository = parts.host.repository("record");
    this.registries = parts.registries;
    this.hop = parts.hop;
    this.control = new ControlClient({ url: parts.registries.url(), token: processToken });
    this.asked = more.asked;
    this.#stack = more.stack;
    this.#door = more.door;
    this.#kubeconfig = more.kubeconfig;
  }

  static async start(): Promise<OperatorCluster> {
    await using stack = new AsyncDisposableStack();
    const folder = await mkdtemp(join(tmpdir(), "wharfinger-bench-operator-"));
    stack.defer(() => rm(folder, { recursive: true, force: true }));
    const api = await startApiServer();
    stack.defer(() => api.stop());
    await applyDefinitions(api);
    const namespace = await createNamespace(api);
    const host = await GitHost.start();
    stack.defer(() => host.stop());
    const settings = { egress: { allowedCIDRs: ["127.0.0.1/32"] } };
    const registries = await Cluster.start({ pods: 2, gc: { trashFor: "1h" }, settings });
    stack.defer(() => registries.stop());
    const hop = await startPostgresHop(Number(new URL(api.url).port));
    stack.defer(() => hop.stop());
    const asked = { count: 0 };
    const door = await countingDoor(registries.url(), () => asked.count++);
    stack.defer(() => door.stop());
    const kubeconfig = join(folder, "kubeconfig");
    const given = await readFile(await installOperator(api, namespace), "utf8");
    await writeFile(kubeconfig, given.replaceAll(api.url, `https://127.0.0.1:${hop.port}`));
    const literals = Object.entries(host.secret).map(([key, text]) => `--from-literal=${key}=${text}`);
    await api.kubectl(["-n", namespace, "create", "secret", "generic", "record", ...literals]);
    const more = { stack: stack.move(), asked, door: door.url, kubeconfig };
    return new OperatorCluster({ folder, api, namespace, host, registries, hop }, more);
  }

  /** In another folder each time: as in a pod without a volume. */
  async startOperator(): Promise<ServingProcess> {
    const at = await mkdtemp(join(this.folder, "operator-"));
    const [settings, token] = [join(at, "settings.yaml"), join(at, "token")];
    const remote = { url: this.host.urlOf(this.repository), secretRef: { namespace: this.namespace, name: "record" } };
    await writeFile(settings, stringify({ record: { remote } }));
    await writeFile(token, processToken);
    const files = ["--settings", settings, "--token-file", token, "--record", join(at, "record")];
    const where = ["--listen", "127.0.0.1:0", "--registry", this.#door, "--namespace", this.namespace];
    this.operator = await startServing([process.execPath, program, "operator", ...where, ...files], {
      ready: "Watching ",
      env: { ...podFlags, KUBECONFIG: this.#kubeconfig },
    });
    return this.operator;
  }

  async stopOperator(): Promise<void> {
    await this.operator?.stop();
    this.operator = undefined;
  }

  async create(kind: Kind, name: string, spec: object): Promise<void> {
    const answer = await create(this.api, { kind, name, spec }, { namespace: this.namespace });
    if (answer.status !== 201) throw new Error(`${kind} ${name}: ${JSON.stringify(answer.body)}`);
  }

  async patch(kind: Kind, name: string, spec: object): Promise<void> {
    const path = resourcePath(kind, this.namespace, name);
    const answer = await this.api.send("PATCH", path, { body: { spec }, contentType: "application/merge-patch+json" });
    if (answer.status !== 200) throw new Error(`${kind} ${name}: ${JSON.stringify(answer.body)}`);
  }

  /** Seconds until so many resources of a kind say that they are Ready as they are now. */
  async readyWithin(wanted: Readonly<Partial<Record<Kind, number>>>, since = performance.now()): Promise<number> {
    for (const [kind, count] of Object.entries(wanted) as [Kind, number][]) {
      const all = async () => ((await this.#ready(kind)) === count ? true : undefined);
      await answerTo(`${count} of kind ${kind} are Ready`, all, { seconds: 600, context: () => this.operator?.logs().slice(-4_000) ?? "" });
    }
    return (performance.now() - since) / 1_000;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopOperator();
    await this.control.close();
    await this.#stack.disposeAsync();
  }

  async #ready(kind: Kind): Promise<number> {
    const path = resourcePath(kind, this.namespace, "").replace(/\/$/, "");
    const { body } = await this.api.send<{ items: readonly (StoredResource & { metadata: { generation: number } })[] }>("GET", path);
    return body.items.filter(({ metadata, status }) => {
      const { conditions = [], observedGeneration } = (status ?? {}) as { conditions?: readonly Condition[]; observedGeneration?: number };
      return observedGeneration === metadata.generation && conditions.some((is) => is.type === "Ready" && is.status === "True");
    }).length;
  }
}

interface More {
  readonly stack: AsyncDisposableStack;
  readonly asked: { count: number };
  readonly door: string;
  readonly kubeconfig: string;
}

interface Condition {
  readonly type: string;
  readonly status: string;
}

/** Before a registry process; `count` is called for each request. */
async function countingDoor(to: string, count: () => void): Promise<{ readonly url: string; stop(): Promise<void> }> {
  const { hostname, port } = new URL(to);
  const server: Server = createServer((asked, answer) => {
    count();
    const options = { hostname, port, method: asked.method, path: asked.url, headers: asked.headers };
    const passed = request(options, (got) => got.pipe(answer.writeHead(got.statusCode ?? 502, got.headers)));
    passed.on("error", () => answer.destroy());
    answer.on("close", () => passed.destroy());
    asked.pipe(passed);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: async () => {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}
