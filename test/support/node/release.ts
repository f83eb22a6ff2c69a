// A release of the chart on a node, and what people type beside it.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { stringify } from "yaml";

import { program } from "../programs.ts";
import { wharfinger } from "../standalone.ts";
import { tool } from "../tools.ts";
import type { Cluster } from "./cluster.ts";

const chart = resolve(import.meta.dirname, "../../../charts/registry");
const enforced = "pod-security.kubernetes.io/enforce";

export type Values = Readonly<Record<string, unknown>>;

export interface Release {
  readonly namespace: string;
  /**
   * `helm upgrade --install --wait` where nothing but `restricted` Pods is admitted meanwhile (Pod Security Standards); rejects with what Kubernetes
   * says of the Pods when they do not come up.
   */
  install(values: Values): Promise<void>;
  /** Resolves with what it prints. */
  helm(...args: readonly string[]): Promise<string>;
  /** In the release's namespace. Resolves with what it prints. */
  kubectl(...args: readonly string[]): Promise<string>;
  /** `kubectl apply` of resources. */
  apply(text: string): Promise<void>;
  /** A Secret of text. */
  secret(name: string, data: Readonly<Record<string, string>>): Promise<void>;
  /** Until a condition of `kind/name` is True; rejects with what `kubectl describe` says. */
  hasCondition(condition: string, object: string): Promise<void>;
  /** `wharfinger reconcile --wait`: rejects unless the run went well. */
  reconcile(policy: string): Promise<void>;
  /** host:port of its Service, which this machine reaches as nodes do. */
  address(): Promise<string>;
  remove(): Promise<void>;
}

/** Makes the namespace. */
export async function createRelease({ api }: Pick<Cluster, "api">, namespace: string, name = "wharfinger"): Promise<Release> {
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-release-"));
  const { kubeconfig } = api;
  const helm = async (...args: readonly string[]) => {
    const { code, stdout, stderr } = await program(await tool("helm"), ["--kubeconfig", kubeconfig, "--namespace", namespace, ...args], {
      timeout: 400_000,
      env: { HELM_CACHE_HOME: folder, HELM_CONFIG_HOME: folder, HELM_DATA_HOME: folder },
    });
    if (code !== 0) throw new Error(`helm ${args.join(" ")} ended with ${code}: ${stderr}`);
    return stdout;
  };
  const kubectl = async (args: readonly string[], input?: string) => {
    const { code, stdout, stderr } = await api.kubectl(["-n", namespace, ...args], input === undefined ? {} : { input });
    if (code !== 0) throw new Error(`kubectl ${args.join(" ")} ended with ${code}: ${stderr}`);
    return stdout.trim();
  };
  const describe = async (...objects: readonly string[]) => (await api.kubectl(["-n", namespace, "describe", ...objects])).stdout;
  await kubectl(["create", "namespace", namespace]);
  return {
    namespace,
    helm,
    kubectl: (...args) => kubectl(args),
    install: async (values) => {
      const file = join(folder, "values.yaml");
      await writeFile(file, stringify(values));
      await kubectl(["label", "namespace", namespace, `${enforced}=restricted`]);
      try {
        await helm("upgrade", "--install", name, chart, "--values", file, "--wait", "--timeout", "300s");
      } catch (error) {
        throw new Error(await describe("pods"), { cause: error });
      } finally {
        // People's Pods of the tests run beside it, as root.
        await kubectl(["label", "namespace", namespace, `${enforced}-`]);
      }
    },
    apply: async (text) => void (await kubectl(["apply", "-f", "-"], text)),
    secret: async (secret, data) => {
      const body = { apiVersion: "v1", kind: "Secret", metadata: { name: secret }, stringData: data };
      await kubectl(["apply", "-f", "-"], JSON.stringify(body));
    },
    hasCondition: async (condition, object) => {
      try {
        await kubectl(["wait", `--for=condition=${condition}`, object, "--timeout=90s"]);
      } catch (error) {
        throw new Error(await describe(object), { cause: error });
      }
    },
    reconcile: async (policy) => {
      const { code, stdout, stderr } = await wharfinger(["reconcile", policy, "--wait", "-n", namespace, "--kubeconfig", kubeconfig]);
      if (code !== 0) throw new Error(`wharfinger reconcile ${policy} ended with ${code}: ${stdout}${stderr}${await describe(policy)}`);
    },
    address: () => kubectl(["get", `service/${name}`, "-o", "jsonpath={.spec.clusterIP}:{.spec.ports[0].port}"]),
    remove: async () => {
      await helm("uninstall", name, "--wait", "--ignore-not-found");
      await kubectl(["delete", "namespace", namespace, "--wait=false"]);
      // Those that the chart keeps belong to the release until then.
      const definitions = ["upstreams", "tagpolicies", "retentionpolicies", "accesspolicies"].map((kind) => `${kind}.wharfinger.dev`);
      await kubectl(["delete", "customresourcedefinitions", "--ignore-not-found", "--timeout=60s", ...definitions]);
      await rm(folder, { recursive: true, force: true });
    },
  };
}
