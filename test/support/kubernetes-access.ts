// What a test does with a Kubernetes API: requests of its administrator, kubectl, and credentials of others.

import { randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { Agent, request } from "undici";
import { stringify } from "yaml";

import { forClients, issue } from "./certificates.ts";
import { rarelyCollecting } from "./launched-server.ts";
import { program, type ProgramResult } from "./programs.ts";
import { tool } from "./tools.ts";

export interface KubernetesApi {
  /** https://127.0.0.1:<port> */
  readonly url: string;
  /** Path of a kubeconfig that may do everything. */
  readonly kubeconfig: string;
  /** PEM. */
  readonly certificateAuthority: string;
  /** Path of a kubeconfig of somebody with a certificate, who may do nothing until he is given a role. */
  user(name: string, groups?: readonly string[]): Promise<string>;
  /** As it is projected into a pod; bound to `pod` (its name) where that is given, for an hour by default. */
  serviceAccountToken(namespace: string, name: string, options: TokenOptions): Promise<string>;
  /** Path of a kubeconfig with a token of the ServiceAccount for the API server itself. */
  serviceAccountKubeconfig(namespace: string, name: string): Promise<string>;
  /** With the administrator's kubeconfig by default. Resolves with whatever exit code it had. */
  kubectl(args: readonly string[], options?: { readonly input?: string; readonly kubeconfig?: string }): Promise<ProgramResult>;
  /** A request of the administrator: `path` with its query. Resolves with whatever status it had. */
  send<Body = unknown>(method: Method, path: string, options?: SendOptions): Promise<Answer<Body>>;
}

export interface TokenOptions {
  readonly audience: string;
  /** 600 at least. */
  readonly expirationSeconds?: number;
  readonly pod?: string;
}

type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

export interface SendOptions {
  /** Sent as JSON. */
  readonly body?: unknown;
  /** application/json by default. */
  readonly contentType?: string;
  /** Milliseconds until it rejects; by default as long as the server takes. */
  readonly patience?: number;
}

export interface Answer<Body = unknown> {
  readonly status: number;
  readonly body: Body;
}

/** The status object that an API server answers an error with. */
export interface Failure {
  readonly reason?: string;
  readonly message: string;
  readonly details?: { readonly causes?: readonly { readonly reason?: string; readonly message?: string; readonly field?: string }[] };
}

/** The folder of an API server (./kubernetes.ts): its authority, and what was made for its users. */
export async function openApi(folder: string, url: string): Promise<KubernetesApi & { close(): Promise<void> }> {
  const certificateAuthority = await readFile(join(folder, "ca.crt"), "utf8");
  const kubeconfig = join(folder, "admin.kubeconfig");
  const admin = { cert: await readFile(join(folder, "admin.crt"), "utf8"), key: await readFile(join(folder, "admin.key"), "utf8") };
  const agent = new Agent({ connect: { ca: certificateAuthority, ...admin } });

  const write = async (name: string, user: KubeconfigUser): Promise<string> => {
    const file = join(folder, `${name}-${randomBytes(4).toString("hex")}.kubeconfig`);
    await writeKubeconfig(file, { url, certificateAuthority, user });
    return file;
  };

  const send = async <Body>(method: Method, path: string, options: SendOptions = {}): Promise<Answer<Body>> => {
    const { body, contentType = "application/json", patience } = options;
    const answer = await request(new URL(path, url), {
      method,
      dispatcher: agent,
      ...(patience !== undefined && { signal: AbortSignal.timeout(patience) }),
      headers: { accept: "application/json", ...(body !== undefined && { "content-type": contentType }) },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await answer.body.text();
    const isJson = String(answer.headers["content-type"]).startsWith("application/json");
    return { status: answer.statusCode, body: (isJson ? JSON.parse(text) : text) as Body };
  };

  const token = async (namespace: string, name: string, wanted: Partial<TokenOptions>): Promise<string> => {
    const { audience, expirationSeconds = 3600, pod } = wanted;
    const spec = {
      audiences: audience === undefined ? [] : [audience],
      expirationSeconds,
      ...(pod !== undefined && { boundObjectRef: { apiVersion: "v1", kind: "Pod", name: pod } }),
    };
    const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`;
    const { status, body } = await send<{ status: { token: string } }>("POST", path, { body: { spec } });
    if (status !== 201) throw new Error(`no token for ${namespace}/${name}: ${JSON.stringify(body)}`);
    return body.status.token;
  };

  return {
    url,
    kubeconfig,
    certificateAuthority,
    send,
    user: async (name, groups = []) =>
      write("user", { certificate: await issue(folder, { name, organizations: groups, extensions: forClients }) }),
    serviceAccountToken: token,
    serviceAccountKubeconfig: async (namespace, name) => write("service-account", { token: await token(namespace, name, {}) }),
    kubectl: kubectlOf({ kubeconfig, folder, home: folder }),
    close: () => agent.destroy(),
  };
}

export interface KubectlOptions {
  readonly kubeconfig: string;
  /** For what it remembers during a command. */
  readonly folder: string;
  /** In the place of this machine's own. */
  readonly home?: string;
}

/** kubectl with that kubeconfig, unless a command names another one. */
export function kubectlOf({ kubeconfig, folder, home }: KubectlOptions): KubernetesApi["kubectl"] {
  return async (args, { kubeconfig: as = kubeconfig, input } = {}) => {
    // A server learns kinds while it runs: what kubectl remembers of it for hours would be wrong.
    const cache = join(folder, `kubectl-${randomBytes(8).toString("hex")}`);
    return program(await tool("kubectl"), ["--kubeconfig", as, "--cache-dir", cache, ...args], {
      env: { ...(home !== undefined && { HOME: home }), ...rarelyCollecting },
      ...(input !== undefined && { input }),
    });
  };
}

type KubeconfigUser =
  | { readonly certificate: { readonly cert: string; readonly key: string }; readonly token?: undefined }
  | { readonly certificate?: undefined; readonly token: string };

interface Kubeconfig {
  readonly url: string;
  readonly certificateAuthority: string;
  readonly user: KubeconfigUser;
}

export async function writeKubeconfig(file: string, { url, certificateAuthority, user }: Kubeconfig): Promise<void> {
  const data = (pem: string) => Buffer.from(pem).toString("base64");
  const credentials =
    user.certificate === undefined
      ? { token: user.token }
      : { "client-certificate-data": data(user.certificate.cert), "client-key-data": data(user.certificate.key) };
  const config = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "test", cluster: { server: url, "certificate-authority-data": data(certificateAuthority) } }],
    users: [{ name: "test", user: credentials }],
    contexts: [{ name: "test", context: { cluster: "test", user: "test" } }],
    "current-context": "test",
  };
  await writeFile(file, stringify(config), { mode: 0o600 });
}
