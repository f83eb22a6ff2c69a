// Who we are to an API server: in a pod by what the kubelet mounts, elsewhere by a kubeconfig.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";

import { openClusterAccess } from "../../src/operator/kube/cluster-access.ts";
import { KubeClient } from "../../src/operator/kube/kube-client.ts";
import { paths } from "../../src/operator/kube/objects.ts";
import type { KubernetesApi } from "../support/kubernetes-access.ts";
import { createNamespace, serviceAccountIssuer } from "../support/kubernetes.ts";
import { sharedApiServer } from "../support/shared-kubernetes.ts";

let api: KubernetesApi;
let namespace: string;
let folder: string;
beforeAll(async () => {
  api = await sharedApiServer();
  namespace = await createNamespace(api);
  await api.kubectl(["-n", namespace, "create", "role", "reader", "--verb=list", "--resource=configmaps"]);
  await api.kubectl(["-n", namespace, "create", "rolebinding", "reader", "--role=reader", `--serviceaccount=${namespace}:default`]);
});
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "wharfinger-access-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const put = (file: string, text: string) => writeFile(join(folder, file), text);
const environment = () => ({ KUBERNETES_SERVICE_HOST: "127.0.0.1", KUBERNETES_SERVICE_PORT: new URL(api.url).port });

test("in a pod it is the mounted ServiceAccount, with the token that is there now", async () => {
  await put("namespace", namespace);
  await put("ca.crt", api.certificateAuthority);
  await put("token", "of yesterday");
  const access = await openClusterAccess(environment(), folder);
  expect(access).toMatchObject({ server: api.url, namespace });
  const client = new KubeClient(access);
  await expect(client.send({ path: paths.configMaps(namespace) })).rejects.toMatchObject({ status: 401, reason: "Unauthorized" });
  await put("token", await api.serviceAccountToken(namespace, "default", { audience: serviceAccountIssuer }));
  expect(await client.send({ path: paths.configMaps(namespace) })).toMatchObject({ kind: "ConfigMapList" });
  await client.close();
});

test("a server with another authority's certificate is not believed", async () => {
  await put("namespace", namespace);
  await put("ca.crt", "");
  await put("token", "secret");
  const client = new KubeClient(await openClusterAccess(environment(), folder));
  await expect(client.send({ path: "/version" })).rejects.toMatchObject({
    status: 0,
    message: expect.stringContaining("certificate") as string,
  });
  await client.close();
});

test("a kubeconfig counts before the pod, and several are one", async () => {
  const choice = join(folder, "choice");
  await writeFile(choice, "{apiVersion: v1, kind: Config, current-context: test, clusters: [], users: [], contexts: []}");
  const files = [choice, await api.serviceAccountKubeconfig(namespace, "default")].join(":");
  const access = await openClusterAccess({ ...environment(), KUBERNETES_SERVICE_PORT: "9", KUBECONFIG: files }, folder);
  expect(access).toMatchObject({ server: api.url, namespace: "default" });
  const client = new KubeClient(access);
  expect(await client.send({ path: paths.configMaps(namespace) })).toMatchObject({ kind: "ConfigMapList" });
  await client.close();
});

test("where nothing is mounted it is said what is missing", async () => {
  await expect(openClusterAccess(environment(), folder)).rejects.toThrow(
    /namespace cannot be read \(ENOENT\): the pod needs its ServiceAccount token/,
  );
});
