// The registry in a cluster, or its operator: its Pods that are Ready, and a connection to any of them. They are equal, so another one does as well.

import type { Duplex } from "node:stream";

import { annotations } from "../../api/conditions.ts";
import { KubeError } from "../../operator/kube/errors.ts";
import { paths, type KubeObject } from "../../operator/kube/objects.ts";
import { connectToPod } from "../../operator/kube/port-forward.ts";
import { CommandError } from "../failure.ts";
import type { Cluster } from "./open-cluster.ts";
import { explainRefusal } from "./refusals.ts";

export interface PodValues {
  /** Label selector. */
  readonly pods: string;
  /** Name or number; undefined: the control API's own, else that of everything. */
  readonly podPort?: string;
}

/** Which program the Pods run, and what a person can do where they are not found. */
interface Sought {
  readonly name: "registry" | "operator";
  readonly otherwise: string;
  /** Names of the port, the one that is meant first. */
  readonly ports: readonly string[];
  /** Where no port has the name that was asked for. */
  readonly port?: number;
}

const registry: Sought = {
  name: "registry",
  ports: ["control", "registry"],
  otherwise: "Name its namespace with -n, its labels with --pods, or its address with --registry.",
};

/** The operator's, where it serves the record: its port is declared where other Pods may come to it. */
const operator: Sought = { name: "operator", ports: ["record"], otherwise: "Name its namespace with -n.", port: 8082 };
export const operatorPods = { pods: "app.kubernetes.io/name=wharfinger,app.kubernetes.io/component=operator" } as const;

export interface RegistryPod {
  readonly name: string;
  readonly port: number;
  /** What tokens for it must be for, as whoever made the Pod says: the Pod itself is not asked. */
  readonly audience: string | undefined;
}

interface Pod extends KubeObject {
  readonly metadata: KubeObject["metadata"] & { readonly deletionTimestamp?: string };
  readonly spec: {
    readonly containers: readonly { readonly ports?: readonly { readonly name?: string; readonly containerPort: number }[] }[];
  };
  readonly status?: {
    readonly phase?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message?: string }[];
  };
}

export class RegistryPods {
  readonly #cluster: Cluster;
  readonly #values: PodValues;
  readonly #sought: Sought;
  #ready: readonly RegistryPod[];

  private constructor(cluster: Cluster, { values, sought }: { values: PodValues; sought: Sought }, ready: readonly RegistryPod[]) {
    [this.#cluster, this.#values, this.#sought, this.#ready] = [cluster, values, sought, ready];
  }

  /** Rejects with CommandError where there is none, or more than one installation. */
  static async find(cluster: Cluster, values: PodValues): Promise<RegistryPods> {
    return new RegistryPods(cluster, { values, sought: registry }, await readyPods(cluster, values, registry));
  }

  /** The same of the operator, by the port on which it serves the record. */
  static async findOperator(cluster: Cluster): Promise<RegistryPods> {
    return new RegistryPods(cluster, { values: operatorPods, sought: operator }, await readyPods(cluster, operatorPods, operator));
  }

  /** The one that is asked, as long as it answers. */
  get first(): RegistryPod {
    const [first] = this.#ready;
    if (first === undefined) throw new Error("none that is Ready, and no refusal");
    return first;
  }

  /** A connection to one that answers; those that came since count too. Rejects with CommandError. */
  async connect(): Promise<Duplex> {
    const tried = new Set<string>();
    for (;;) {
      const pod = this.#ready.find(({ name }) => !tried.has(name));
      if (pod === undefined) break;
      tried.add(pod.name);
      const failure = await this.#connectTo(pod);
      if (!(failure instanceof Error)) {
        this.#ready = [pod, ...this.#ready.filter((other) => other !== pod)];
        return failure;
      }
      const others = await readyPods(this.#cluster, this.#values, this.#sought);
      if (!others.some(({ name }) => !tried.has(name))) throw failure;
      this.#ready = others;
    }
    throw new CommandError(`None of the ${this.#sought.name}'s Pods takes a connection: ${[...tried].join(", ")}.`);
  }

  /** The connection, or why there is none but may be one to another Pod. */
  async #connectTo({ name, port }: RegistryPod): Promise<Duplex | Error> {
    const { access, namespace } = this.#cluster;
    try {
      return await connectToPod(access, { namespace, pod: name, port });
    } catch (error) {
      const need = { verb: "create", resource: "pods", subresource: "portforward", name, namespace };
      const explained = explainRefusal(error, need, this.#cluster);
      // Nobody's Pod would be another's to reach.
      if (error instanceof KubeError && [0, 401, 403].includes(error.status)) throw explained;
      return explained;
    }
  }
}

async function readyPods(cluster: Cluster, { pods: labels, podPort }: PodValues, sought: Sought): Promise<readonly RegistryPod[]> {
  const { client, namespace, name: where } = cluster;
  const { items } = await client
    .send<{ readonly items: readonly Pod[] }>({ path: paths.pods(namespace), query: { labelSelector: labels } })
    .catch((error: unknown) => {
      throw explainRefusal(error, { verb: "list", resource: "pods", namespace }, cluster);
    });
  const there = items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  if (there.length === 0) {
    throw new CommandError(
      `There is no ${sought.name} in namespace ${namespace} of ${where}: no Pod has the labels ${labels}.\n${sought.otherwise}`,
    );
  }
  const ready = there.filter(isReady);
  if (ready.length === 0) throw new CommandError(noneReady(there, namespace, sought));
  const installations = [...new Set(ready.map(({ metadata }) => metadata.labels?.[instanceLabel] ?? ""))].sort();
  if (installations.length > 1) {
    const names = installations.map((name) => (name === "" ? "one without that label" : name)).join(", ");
    if (sought.name === "operator")
      throw new CommandError(`There are several operators in namespace ${namespace} of ${where} (${instanceLabel}: ${names}).`);
    throw new CommandError(
      `There are several registries in namespace ${namespace} of ${where} (${instanceLabel}: ${names}).\n` +
        `Name one: --pods ${labels},${instanceLabel}=${installations.find((name) => name !== "") ?? ""}`,
    );
  }
  return ready.map((pod) => ({
    name: pod.metadata.name,
    port: portOf(pod, podPort, sought),
    audience: pod.metadata.annotations?.[annotations.audience],
  }));
}

const instanceLabel = "app.kubernetes.io/instance";

function isReady({ status }: Pod): boolean {
  return status?.conditions?.some(({ type, status: value }) => type === "Ready" && value === "True") === true;
}

function noneReady(pods: readonly Pod[], namespace: string, { name }: Sought): string {
  const how = pods.map(({ metadata, status }) => {
    const why = status?.conditions?.find(({ type }) => type === "Ready")?.message;
    return `${metadata.name} (${why ?? status?.phase ?? "not started"})`;
  });
  return `No Pod of the ${name} in namespace ${namespace} is Ready: ${how.join(", ")}.\n\`kubectl -n ${namespace} describe pod ${pods[0]?.metadata.name ?? ""}\` says more.`;
}

function portOf({ metadata, spec }: Pod, wanted: string | undefined, { ports: usual, port }: Sought): number {
  if (wanted !== undefined && /^\d+$/.test(wanted)) return Number(wanted);
  const ports = spec.containers.flatMap((container) => container.ports ?? []);
  const names = wanted === undefined ? usual : [wanted];
  for (const sought of names) {
    const found = ports.find(({ name }) => name === sought);
    if (found !== undefined) return found.containerPort;
  }
  if (port !== undefined) return port;
  const known = ports.map(({ name, containerPort }) => (name === undefined ? String(containerPort) : `${name} (${containerPort})`));
  throw new CommandError(
    `Pod ${metadata.name} has no port called ${names.join(" or ")}${known.length === 0 ? "" : `, only ${known.join(", ")}`}. Name the registry's with --pod-port.`,
  );
}
