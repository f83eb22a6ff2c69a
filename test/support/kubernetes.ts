// A real Kubernetes API: etcd, kube-apiserver and, where a test asks for it, kube-controller-manager, on loopback, with RBAC and certificates of
// its own. There is no kubelet: pods stay Pending until the test says what they did; ./node has a node that runs them. The run's shared server is
// ./shared-kubernetes.ts's.

import { generateKeyPair, randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { createAuthority, forClients, forServers, issue } from "./certificates.ts";
import { freePort } from "./distribution.ts";
import { answerTo } from "./eventually.ts";
import { openApi, writeKubeconfig, type KubernetesApi } from "./kubernetes-access.ts";
import { apiServerArguments, controllerArguments, etcdArguments, type ClusterAddresses, type Ports } from "./kubernetes-flags.ts";
import { launchServer, type LaunchedServer } from "./launched-server.ts";
import { tool } from "./tools.ts";

export interface ApiServer extends KubernetesApi {
  /** Its files, until `stop`. */
  readonly folder: string;
  /** The processes that run, by name. */
  pids(): Readonly<Record<string, number>>;
  /** Ends kube-apiserver as a crash does; etcd and controllers stay. */
  kill9(): Promise<void>;
  /** The same on the same port with the same data, also when it still runs. Resolves when it is ready. */
  restart(): Promise<void>;
  /** etcd forgets every revision before the newest. */
  compact(): Promise<void>;
  /** Ends everything, and its data. */
  stop(): Promise<void>;
}

export interface ApiServerOptions {
  /** With kube-controller-manager: namespaces end, owned objects are collected, Jobs get their pods. */
  readonly controllers?: boolean;
  /** Where nodes and pods reach it; by default only this machine does. */
  readonly cluster?: ClusterAddresses;
}

/** Whom its ServiceAccount tokens are from. */
export const serviceAccountIssuer = "https://kubernetes.default.svc.cluster.local";

/** So many times other ports are tried: somebody may take one between the look and the use. */
const attempts = 3;

/** Resolves when it is ready; rejects with the last words of what ended before. */
export async function startApiServer(options: ApiServerOptions = {}): Promise<ApiServer> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await start(options);
    } catch (error) {
      if (attempt === attempts || !String(error).includes("address already in use")) throw error;
    }
  }
}

async function start({ controllers = false, cluster }: ApiServerOptions): Promise<ApiServer> {
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-kubernetes-"));
  const running = new Map<string, LaunchedServer>();
  const endAll = async () => {
    await Promise.all([...running.values()].map((server) => server.kill9()));
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const ports = { etcd: await freePort(), peers: await freePort(), api: await freePort() };
    const url = `https://${cluster?.machine ?? "127.0.0.1"}:${ports.api}`;
    const launch = async (name: "etcd" | "kube-apiserver" | "kube-controller-manager", args: readonly string[]) => {
      const server = launchServer(await tool(name), args, { log: join(folder, `${name}.log`), folder });
      running.set(name, server);
      return server;
    };
    const etcd = await launch("etcd", etcdArguments(folder, ports));
    await makeCredentials(folder, url, cluster);
    // An API server that does not find it within some seconds ends.
    await whenReady("etcd", etcd, () => isHealthy(ports));
    const api = await openApi(folder, url);
    const startServer = async () => {
      const server = await launch("kube-apiserver", apiServerArguments(folder, { ports, cluster, issuer: serviceAccountIssuer }));
      await whenReady("kube-apiserver", server, () => isThere(api, "/readyz"));
    };
    await startServer();
    if (controllers) {
      const manager = await launch("kube-controller-manager", controllerArguments(folder));
      // It has no port to ask; it ends by itself when the API server keeps it waiting.
      await whenReady("kube-controller-manager", manager, () => isThere(api, "/api/v1/namespaces/default/serviceaccounts/default"));
    }
    const kill9 = async () => running.get("kube-apiserver")?.kill9();
    return {
      ...api,
      folder,
      pids: () => Object.fromEntries([...running].map(([name, { pid }]) => [name, pid])),
      kill9,
      restart: async () => {
        await kill9();
        await startServer();
      },
      compact: () => compact(`http://127.0.0.1:${ports.etcd}`),
      stop: async () => {
        await api.close();
        await endAll();
      },
    };
  } catch (error) {
    await endAll();
    throw error;
  }
}

/** Rejects with its last words when it ends before. */
export async function whenReady(name: string, server: LaunchedServer, isReady: () => Promise<boolean>): Promise<void> {
  const ended = server.ended.then((how) => Promise.reject(new Error(`${name} ${how}: ${server.lastWords()}`)));
  const ready = answerTo(`${name} is ready`, async () => ((await isReady()) ? true : undefined), {
    // A limit for what hangs, not for a machine that has much to do: what ends is heard of at once.
    seconds: 200,
    context: server.lastWords,
  });
  await Promise.race([ready, ended]);
}

/** Milliseconds: a question to a server that is only starting may be lost. */
const patience = 10_000;

async function isHealthy({ etcd }: Ports): Promise<boolean> {
  return (await fetch(`http://127.0.0.1:${etcd}/health`, { signal: AbortSignal.timeout(patience) })).ok;
}

async function isThere(api: KubernetesApi, path: string): Promise<boolean> {
  return (await api.send("GET", path, { patience })).status === 200;
}

/** A namespace with its ServiceAccount `default`, without which no pod is accepted. Resolves with its name. */
export async function createNamespace(api: KubernetesApi, name = `test-${randomBytes(4).toString("hex")}`): Promise<string> {
  const make = async (path: string, body: object) => {
    const answer = await api.send("POST", path, { body });
    // A controller may have made the account first.
    if (answer.status !== 201 && !path.endsWith("/serviceaccounts")) throw new Error(JSON.stringify(answer.body));
  };
  await make("/api/v1/namespaces", { metadata: { name } });
  await make(`/api/v1/namespaces/${name}/serviceaccounts`, { metadata: { name: "default" } });
  return name;
}

async function makeCredentials(folder: string, url: string, cluster: ClusterAddresses | undefined): Promise<void> {
  const at = (file: string) => join(folder, file);
  await createAuthority(folder, "kubernetes");
  const save = async (name: string, { cert, key }: { cert: string; key: string }) => {
    await writeFile(at(`${name}.crt`), cert);
    await writeFile(at(`${name}.key`), key, { mode: 0o600 });
  };
  const inCluster =
    cluster === undefined ? [] : [`IP:${cluster.machine}`, `IP:${cluster.kubernetes}`, "DNS:kubernetes", "DNS:kubernetes.default"];
  const names = ["IP:127.0.0.1", "DNS:localhost", "DNS:kubernetes.default.svc", ...inCluster];
  const [server, admin, manager, accounts] = await Promise.all([
    issue(folder, { name: "kube-apiserver", extensions: forServers(...names) }),
    issue(folder, { name: "admin", organizations: ["system:masters"], extensions: forClients }),
    issue(folder, { name: "system:kube-controller-manager", extensions: forClients }),
    // RSA, as in most clusters.
    promisify(generateKeyPair)("rsa", {
      modulusLength: 2048,
      publicKeyEncoding: { type: "spki", format: "pem" },
      privateKeyEncoding: { type: "pkcs8", format: "pem" },
    }),
  ]);
  await save("server", server);
  await save("admin", admin);
  await writeFile(at("service-accounts.pub"), accounts.publicKey);
  await writeFile(at("service-accounts.key"), accounts.privateKey, { mode: 0o600 });
  const certificateAuthority = await readFile(at("ca.crt"), "utf8");
  await writeKubeconfig(at("admin.kubeconfig"), { url, certificateAuthority, user: { certificate: admin } });
  await writeKubeconfig(at("controllers.kubeconfig"), { url, certificateAuthority, user: { certificate: manager } });
}

/** By etcd's JSON gateway, which needs no client of its own. */
async function compact(etcd: string): Promise<void> {
  const ask = async (path: string, body: object) => {
    const answer = await fetch(`${etcd}${path}`, { method: "POST", body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`etcd answers ${path} with ${answer.status}: ${await answer.text()}`);
    return (await answer.json()) as { readonly header: { readonly revision: string } };
  };
  const { header } = await ask("/v3/kv/range", { key: Buffer.from("/").toString("base64") });
  await ask("/v3/kv/compaction", { revision: header.revision, physical: true });
}
