// The API server that tests stand on (test/support/kubernetes.ts) is a real one, with rights, tokens and controllers, and leaves nothing behind.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { resolve } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { eventually } from "../support/eventually.ts";
import { createNamespace, serviceAccountIssuer, startApiServer, type ApiServer } from "../support/kubernetes.ts";

let api: ApiServer;
beforeAll(async () => {
  api = await startApiServer({ controllers: true });
});
afterAll(() => api?.stop());

async function succeeds(args: readonly string[], kubeconfig = api.kubeconfig): Promise<string> {
  const { code, stdout, stderr } = await api.kubectl(args, { kubeconfig });
  if (code !== 0 || stderr !== "") throw new Error(`kubectl ${args.join(" ")} ended with ${code}: ${stderr}`);
  return stdout;
}

test("somebody has the rights that he was given, by name or by group", async () => {
  const namespace = await createNamespace(api);
  const ann = await api.user("ann", ["readers", "others"]);
  const asked = ["-n", namespace, "get", "configmaps"];
  expect((await api.kubectl(asked, { kubeconfig: ann })).stderr).toContain('User "ann" cannot list resource "configmaps"');
  await succeeds(["-n", namespace, "create", "rolebinding", "readers", "--clusterrole=view", "--group=readers"]);
  await eventually(async () => expect(await api.kubectl(asked, { kubeconfig: ann })).toMatchObject({ code: 0 }));
  expect((await api.kubectl(["-n", namespace, "create", "configmap", "x"], { kubeconfig: ann })).stderr).toContain("cannot create");
});

test("kubectl can read the server's version, which one that was built without has not", async () => {
  expect(await succeeds(["version"])).toMatch(/^Server Version: v1\.\d+\.\d+$/m);
});

test("a ServiceAccount has tokens for whom they are meant, bound to its pod", async () => {
  const namespace = await createNamespace(api);
  await succeeds(["-n", namespace, "run", "runner", "--image=none"]);
  const token = await api.serviceAccountToken(namespace, "default", { audience: "wharfinger", expirationSeconds: 600, pod: "runner" });
  const claims = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as Record<string, unknown>;
  expect(claims).toMatchObject({
    aud: ["wharfinger"],
    iss: serviceAccountIssuer,
    sub: `system:serviceaccount:${namespace}:default`,
    "kubernetes.io": { namespace, serviceaccount: { name: "default" }, pod: { name: "runner" } },
  });
  expect(Number(claims["exp"]) - Number(claims["iat"])).toBe(600);
  const kubeconfig = await api.serviceAccountKubeconfig(namespace, "default");
  expect(await succeeds(["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"], kubeconfig)).toBe(claims["sub"]);
});

test("controllers work: a Job gets its pod, and a namespace that is deleted ends", async () => {
  const namespace = await createNamespace(api);
  await succeeds(["-n", namespace, "create", "job", "once", "--image=none"]);
  await eventually(async () => expect(await succeeds(["-n", namespace, "get", "pods", "-o", "name"])).toMatch(/^pod\/once-/));
  const other = await createNamespace(api);
  await succeeds(["delete", "namespace", other, "--timeout=120s"]);
  expect((await api.send("GET", `/api/v1/namespaces/${other}`)).status).toBe(404);
});

test("an API server that was killed comes back with what it had, and etcd forgets what it is told to", async () => {
  const namespace = await createNamespace(api);
  const path = `/api/v1/namespaces/${namespace}/configmaps`;
  const create = async (name: string) => {
    const { body } = await api.send<{ metadata: { resourceVersion: string } }>("POST", path, { body: { metadata: { name } } });
    return body.metadata.resourceVersion;
  };
  const revision = await create("before");
  await create("after");
  await api.kill9();
  await expect(api.send("GET", path)).rejects.toThrow(/ECONNREFUSED|other side closed|socket/);
  await api.restart();
  const then = `${path}?resourceVersion=${revision}&resourceVersionMatch=Exact`;
  const { status, body } = await api.send<{ items: { metadata: { name: string } }[] }>("GET", then);
  expect([status, body.items.map(({ metadata }) => metadata.name)]).toEqual([200, expect.not.arrayContaining(["after"])]);
  expect(body.items.map(({ metadata }) => metadata.name)).toContain("before");
  await api.compact();
  expect((await api.send("GET", then)).status).toBe(410);
});

test("nothing is left of it when the process that started it is killed", async () => {
  const support = resolve(import.meta.dirname, "../support/kubernetes.ts");
  const script = `const { startApiServer } = await import(${JSON.stringify(support)});
    const { folder, pids } = await startApiServer();
    console.log(JSON.stringify({ folder, pids: Object.values(pids()) }));`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  const [said] = (await once(child.stdout, "data")) as [Buffer];
  const { folder, pids } = JSON.parse(said.toString()) as { folder: string; pids: number[] };
  expect(pids).toHaveLength(2);
  child.kill("SIGKILL");
  await eventually(() => {
    expect(existsSync(folder)).toBe(false);
    for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow("ESRCH");
  });
});
