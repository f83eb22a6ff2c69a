// A cluster in which jobs are Jobs: an API server with the controllers that make Pods of them, a kubelet, a namespace that takes restricted Pods
// only, and a registry that believes the cluster's tokens. The operator has no more rights than those that people apply.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Client } from "pg";
import { stringify } from "yaml";

import { ControlClient } from "../../src/client/control-client.ts";
import type { JobsSettings } from "../../src/config/settings.ts";
import { defaultSettings, type Settings } from "../../src/config/settings.ts";
import { createNamespace, serviceAccountIssuer, startApiServer, type ApiServer } from "./kubernetes.ts";
import { jobCommand, startPodExecutor, type PodExecutor } from "./pod-executor.ts";
import { adminToken, startTestRegistry, type TestRegistry } from "./registry.ts";

const audience = "registry.example.com";

export interface JobCluster {
  readonly api: ApiServer;
  readonly namespace: string;
  readonly kubelet: PodExecutor;
  readonly registry: TestRegistry;
  /** With the administrator's token. */
  readonly admin: ControlClient;
  /** The operator's way to the cluster. */
  readonly kubeconfig: string;
  /** Path of a file with the operator's token for the registry. */
  readonly tokenFile: string;
  /** As in the settings file that operator and registry have. */
  readonly settings: Settings;
  /** Id of the run that the token in a Pod acts for; rejects while there is none. */
  runOf(pod: string): Promise<string>;
  /** A statement on the registry's database. */
  sql(text: string, values: readonly unknown[]): Promise<void>;
  kubectl(...args: readonly string[]): Promise<string>;
  apply(...objects: readonly object[]): Promise<void>;
  stop(): Promise<void>;
}

export async function startJobCluster(jobs: Partial<JobsSettings> = {}): Promise<JobCluster> {
  const stack = new AsyncDisposableStack();
  try {
    return await open(stack, jobs);
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

async function open(stack: AsyncDisposableStack, jobs: Partial<JobsSettings>): Promise<JobCluster> {
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-job-cluster-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const api = await startApiServer({ controllers: true });
  stack.defer(() => api.stop());
  const namespace = await createNamespace(api);
  const kubectl = async (args: readonly string[], input?: string) => {
    const result = await api.kubectl(["-n", namespace, ...args], input === undefined ? {} : { input });
    if (result.code !== 0) throw new Error(`kubectl ${args.join(" ")} ended with ${result.code}: ${result.stderr}`);
    return result.stdout.trim();
  };
  await kubectl(["label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted"]);
  await kubectl(["apply", "-f", "crds/", "-f", "deploy/operator/"]);
  await kubectl(["create", "serviceaccount", "wharfinger-operator"]);
  for (const role of ["wharfinger-operator", "wharfinger-operator-jobs"])
    await kubectl(["create", "rolebinding", role, `--role=${role}`, `--serviceaccount=${namespace}:wharfinger-operator`]);

  const files = { ca: join(folder, "ca.crt"), keys: join(folder, "keys-token"), token: join(folder, "operator-token") };
  await writeFile(files.ca, api.certificateAuthority);
  await writeFile(files.keys, await api.serviceAccountToken(namespace, "default", { audience: serviceAccountIssuer }));
  await writeFile(files.token, await api.serviceAccountToken(namespace, "wharfinger-operator", { audience }));
  const account = (name: string) => ({ issuer: "in-cluster", namespace, name });
  const settings: Settings = {
    ...defaultSettings,
    externalURL: `https://${audience}`,
    auth: { issuers: [{ name: "in-cluster", jwks: `${api.url}/openid/v1/jwks`, caFile: files.ca, tokenFile: files.keys }] },
    access: { ...defaultSettings.access, operator: account("wharfinger-operator"), jobs: account("wharfinger-jobs") },
    jobs: { ...defaultSettings.jobs, image: "registry.example.com/wharfinger:test", command: jobCommand, ...jobs },
  };
  const registry = await startTestRegistry({ settings });
  stack.defer(() => registry.stop());
  const admin = new ControlClient({ url: registry.url, token: adminToken });
  stack.defer(() => admin.close());
  const kubelet = await startPodExecutor(api, { namespace });
  stack.defer(() => kubelet.stop());
  return {
    api,
    namespace,
    kubelet,
    registry,
    admin,
    settings,
    kubeconfig: await api.serviceAccountKubeconfig(namespace, "wharfinger-operator"),
    tokenFile: files.token,
    runOf: async (pod) => {
      const control = new ControlClient({ url: registry.url, token: kubelet.token(pod) });
      try {
        return (await control.run("own")).id;
      } finally {
        await control.close();
      }
    },
    sql: async (text, values) => {
      const client = new Client({ connectionString: registry.databaseUrl });
      await client.connect();
      try {
        await client.query(text, [...values]);
      } finally {
        await client.end();
      }
    },
    kubectl: (...args) => kubectl(args),
    apply: async (...objects) => void (await kubectl(["apply", "-f", "-"], objects.map((object) => stringify(object)).join("---\n"))),
    stop: () => stack.disposeAsync(),
  };
}
