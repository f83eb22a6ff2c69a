// Tokens that a real API server issues, projected ones as the kubelet asks for them (TokenRequest, bound to a Pod), at a real registry that has the
// keys from that API server.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { ControlClient } from "../../src/client/control-client.ts";
import { defaultSettings } from "../../src/config/settings.ts";
import { createNamespace, serviceAccountIssuer } from "../support/kubernetes.ts";
import type { KubernetesApi } from "../support/kubernetes-access.ts";
import { publishFirst, startTestRegistry, type TestRegistry } from "../support/registry.ts";
import { sharedApiServer } from "../support/shared-kubernetes.ts";

const audience = "registry.example.com";
let folder: string;
let api: KubernetesApi;
let namespace: string;
let registry: TestRegistry;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "service-account-tokens-"));
  api = await sharedApiServer();
  namespace = await createNamespace(api);
  for (const name of ["operator", "jobs", "registry"]) await create("serviceaccounts", { metadata: { name } });
  const caFile = join(folder, "ca.crt");
  const tokenFile = join(folder, "token");
  await writeFile(caFile, api.certificateAuthority);
  await writeFile(tokenFile, await api.serviceAccountToken(namespace, "registry", { audience: serviceAccountIssuer }));
  const account = (name: string) => ({ issuer: "in-cluster", namespace, name });
  registry = await startTestRegistry({
    settings: {
      ...defaultSettings,
      externalURL: `https://${audience}`,
      auth: { issuers: [{ name: "in-cluster", jwks: `${api.url}/openid/v1/jwks`, caFile, tokenFile }] },
      access: { ...defaultSettings.access, operator: account("operator"), jobs: account("jobs") },
    },
  });
  const spec = { repositories: { include: ["team/**"] }, keep: [{ name: "newest", mostRecentlyPushed: 1 }] };
  await publishFirst(registry.url, [{ kind: "RetentionPolicy", name: "clean", spec }]);
});
afterAll(async () => {
  await registry.stop();
  await rm(folder, { recursive: true, force: true });
});

async function create(resource: string, body: object): Promise<void> {
  const { status, body: answer } = await api.send("POST", `/api/v1/namespaces/${namespace}/${resource}`, { body });
  if (status !== 201) throw new Error(JSON.stringify(answer));
}

async function startPod(name: string): Promise<void> {
  const spec = { serviceAccountName: "jobs", automountServiceAccountToken: false, containers: [{ name: "job", image: "example.com/job" }] };
  await create("pods", { metadata: { name }, spec });
}

async function as<T>(token: string, work: (client: ControlClient) => Promise<T>): Promise<T> {
  const tokenFile = join(folder, "shown");
  await writeFile(tokenFile, token);
  const client = new ControlClient({ url: registry.url, tokenFile });
  try {
    return await work(client);
  } finally {
    await client.close();
  }
}

const tokenOf = (name: string, options: { readonly pod?: string; readonly audience?: string } = {}) =>
  api.serviceAccountToken(namespace, name, { audience, expirationSeconds: 600, ...options });

test("the operator registers a run for a Pod, whose token acts for it until it ends, and no longer", async () => {
  await startPod("clean-1");
  await startPod("clean-2");
  const first = await tokenOf("jobs", { pod: "clean-1" });
  const second = await tokenOf("jobs", { pod: "clean-2" });
  await expect(as(first, (job) => job.run("own"))).rejects.toMatchObject({ code: "Refused" });
  const request = { kind: "prune", policy: "default/clean", trigger: "schedule", pod: "clean-1" } as const;
  const { id } = await as(await tokenOf("operator"), (operator) => operator.startRun(request));

  expect(await as(first, (job) => job.run("own"))).toMatchObject({ id, state: "running" });
  expect(await as(first, (job) => job.plan("default/clean"))).toMatchObject({ policy: "default/clean" });
  await expect(as(second, (job) => job.run(id))).rejects.toMatchObject({ code: "Refused" });
  await expect(as(await tokenOf("jobs"), (job) => job.run(id))).rejects.toMatchObject({ code: "Refused" });

  // Nobody asks the API server, so a Pod that is gone is believed as long as its token lives; its run says when that has to end.
  expect((await api.send("DELETE", `/api/v1/namespaces/${namespace}/pods/clean-1?gracePeriodSeconds=0`)).status).toBe(200);
  await as(first, (job) => job.updateRun("own", { state: "succeeded", result: {} }));
  await expect(as(first, (job) => job.run("own"))).rejects.toMatchObject({ code: "Refused" });
});

test("a token for the API server is none for the registry, and an account that nothing names may read what it may pull", async () => {
  const forKubernetes = await tokenOf("operator", { audience: serviceAccountIssuer });
  await expect(as(forKubernetes, (operator) => operator.record())).rejects.toMatchObject({
    code: "Unauthorized",
    message: expect.stringContaining(`ask for one that is for ${audience} alone`),
  });
  const anybody = await tokenOf("default");
  expect(await as(anybody, (client) => client.repositories())).toEqual([]);
  await expect(as(anybody, (client) => client.record())).rejects.toMatchObject({ code: "Refused" });
});
