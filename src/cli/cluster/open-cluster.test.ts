import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";

import { isInReach, withCluster, type ClusterValues } from "./open-cluster.ts";

let folder: string;
let kubeconfig: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "wharfinger-clusters-"));
  kubeconfig = join(folder, "kubeconfig");
  const context = (name: string, more = "") => `{name: ${name}, context: {cluster: ${name}, user: me${more}}}`;
  const cluster = (name: string) => `{name: ${name}, cluster: {server: 'https://${name}.example.com:6443/k8s/'}}`;
  await writeFile(
    kubeconfig,
    `clusters: [${cluster("dev")}, ${cluster("prod")}]\nusers: [{name: me, user: {token: secret, as: auditor}}]\n` +
      `contexts: [${context("dev")}, ${context("prod", ", namespace: registry")}]\ncurrent-context: dev\n`,
  );
});
afterAll(() => rm(folder, { recursive: true, force: true }));
afterEach(() => vi.unstubAllEnvs());

/** With nothing in the environment but what is given. */
async function opened(values: ClusterValues, environment: Record<string, string> = {}) {
  vi.stubEnv("KUBECONFIG", "");
  vi.stubEnv("HOME", folder);
  vi.stubEnv("KUBERNETES_SERVICE_HOST", undefined);
  for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value);
  return withCluster(values, async ({ name, namespace, access }) => ({ name, namespace, server: access.server, access }));
}

test("the context that is named, or the current one, with its namespace unless another is named", async () => {
  const dev = { name: "context dev", namespace: "default", server: "https://dev.example.com:6443/k8s" };
  expect(await opened({}, { KUBECONFIG: kubeconfig })).toMatchObject(dev);
  expect(await opened({ kubeconfig, namespace: "team-a" })).toMatchObject({ ...dev, namespace: "team-a" });
  const prod = await opened({ kubeconfig, context: "prod" });
  expect(prod).toMatchObject({ name: "context prod", namespace: "registry", server: "https://prod.example.com:6443/k8s" });
  // Whom the file says to act as, and not only who one is.
  expect(await prod.access.credentials()).toMatchObject({ authorization: "Bearer secret", headers: { "Impersonate-User": "auditor" } });
});

test("a program of the kubeconfig says who one is", async () => {
  const login = join(folder, "login");
  const credential = { apiVersion: "client.authentication.k8s.io/v1", kind: "ExecCredential", status: { token: "of-the-program" } };
  await writeFile(login, `#!/bin/sh\necho '${JSON.stringify(credential)}'\n`, { mode: 0o700 });
  const file = join(folder, "with-login");
  const user = { exec: { apiVersion: credential.apiVersion, command: login, interactiveMode: "Never" } };
  const config = {
    clusters: [{ name: "dev", cluster: { server: "https://dev.example.com" } }],
    users: [{ name: "me", user }],
    contexts: [{ name: "dev", context: { cluster: "dev", user: "me" } }],
    "current-context": "dev",
  };
  await writeFile(file, JSON.stringify(config));
  const { access } = await opened({ kubeconfig: file });
  expect(await access.credentials()).toMatchObject({ authorization: "Bearer of-the-program" });
});

test("what is wrong with it is said with what to do", async () => {
  await expect(opened({})).rejects.toThrow(
    "There is no kubeconfig: name one with --kubeconfig or KUBECONFIG, or a registry by its address",
  );
  await expect(opened({ kubeconfig, context: "test" })).rejects.toThrow(
    `The kubeconfig ${kubeconfig} has no context test; it has dev, prod.`,
  );
  const none = join(folder, "none");
  const another = "name another one with --kubeconfig or KUBECONFIG.";
  await expect(opened({ kubeconfig: none })).rejects.toThrow(`The kubeconfig ${none} cannot be read (ENOENT): ${another}`);
  const broken = join(folder, "broken");
  await writeFile(broken, "contexts: [");
  await expect(opened({}, { KUBECONFIG: `${kubeconfig}:${broken}` })).rejects.toThrow(`The kubeconfig ${broken} cannot be read (`);
  await expect(opened({ context: "dev" }, { KUBERNETES_SERVICE_HOST: "10.0.0.1" })).rejects.toThrow("--context needs a kubeconfig");
});

test("one is in reach by a kubeconfig, or in a Pod", () => {
  vi.stubEnv("HOME", folder);
  expect([isInReach({}), isInReach({ KUBECONFIG: kubeconfig }), isInReach({ KUBERNETES_SERVICE_HOST: "10.0.0.1" })]).toEqual([
    false,
    true,
    true,
  ]);
});
