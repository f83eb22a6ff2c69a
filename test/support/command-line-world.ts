// The program through a kubeconfig: an installation behind a node of a real API server, and people with the rights of deploy/cli and fewer.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { vi } from "vitest";

import { run } from "../../src/cli/program.ts";
import type { KubernetesApi } from "./kubernetes-access.ts";
import { createNamespace, serviceAccountIssuer } from "./kubernetes.ts";
import { offlineUpstream, OperatorWorld } from "./operator-world.ts";
import { startPortForwardNode, type PortForwardNode } from "./port-forward-node.ts";
import type { ProgramResult } from "./programs.ts";
import { sharedApiServer } from "./shared-kubernetes.ts";

export const audience = "registry.example.com";
export const labels = { "app.kubernetes.io/name": "wharfinger", "app.kubernetes.io/component": "registry" };
export const repositoryRoot = resolve(import.meta.dirname, "../..");

export function retentionPolicy(name: string, more = ""): string {
  return `
apiVersion: wharfinger.dev/v1alpha1
kind: RetentionPolicy
metadata: {name: ${name}}
spec: {repositories: {include: ["team/**"]}, keep: [{name: newest, mostRecentlyPushed: 1}], inUse: {mode: Ignore}${more}}
`;
}

export class CommandLineWorld {
  readonly api: KubernetesApi;
  readonly world: OperatorWorld;
  readonly namespace: string;
  readonly folder: string;
  readonly node: PortForwardNode;
  /** Kubeconfig of somebody with the Role of deploy/cli/administrator.yaml. */
  administrator = "";

  private constructor(world: OperatorWorld, folder: string, node: PortForwardNode) {
    this.api = world.api;
    this.world = world;
    this.namespace = world.namespace;
    this.folder = folder;
    this.node = node;
  }

  /** With a registry, an operator, the Upstream `hub` and the RetentionPolicy `clean`. */
  static async open(): Promise<CommandLineWorld> {
    const api = await sharedApiServer();
    const folder = await mkdtemp(join(tmpdir(), "wharfinger-command-line-"));
    const jwks = join(folder, "jwks.json");
    await writeFile(jwks, (await api.kubectl(["get", "--raw", "/openid/v1/jwks"])).stdout.trim());
    const world = await OperatorWorld.open({
      registry: (home) => ({
        externalURL: `https://${audience}`,
        auth: { issuers: [{ name: "in-cluster", issuer: serviceAccountIssuer, jwks }] },
        access: { admins: [{ kind: "ServiceAccount", namespace: home, name: "wharfinger-admin" }] },
      }),
    });
    world.defer(() => rm(folder, { recursive: true, force: true }));
    const node = await startPortForwardNode(api);
    world.defer(() => node.stop());
    const made = new CommandLineWorld(world, folder, node);
    await made.addPod(world.namespace, "registry-0");
    made.administrator = await made.becomeAdministrator("jane");
    await world.startOperator();
    await world.apply(offlineUpstream({ name: "hub", prefix: "hub" }), retentionPolicy("clean"));
    await world.hasCondition("Ready", "upstream/hub", "retentionpolicy/clean");
    return made;
  }

  close(): Promise<void> {
    return this.world.close();
  }

  /** A Pod of the registry, as the node has it. */
  async addPod(home: string, name: string, more: Partial<Parameters<PortForwardNode["startPod"]>[0]> = {}): Promise<void> {
    const { url, controlUrl } = this.world.registry;
    const ports = { 5000: Number(new URL(url).port), 5001: Number(new URL(controlUrl).port) };
    await this.node.startPod({ namespace: home, name, labels, annotations: { "wharfinger.dev/audience": audience }, ports, ...more });
  }

  async kubectl(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.api.kubectl(args);
    if (code !== 0) throw new Error(`kubectl ${args.join(" ")} ended with ${code}: ${stderr}`);
    return stdout.trim();
  }

  async becomeAdministrator(name: string, home = this.namespace): Promise<string> {
    await this.kubectl("-n", home, "apply", "-f", join(repositoryRoot, "deploy/cli/administrator.yaml"));
    await this.kubectl("-n", home, "create", "rolebinding", `admin-${name}`, "--role=wharfinger-administrator", `--user=${name}`);
    return this.api.user(name);
  }

  /** In this process: a new one for each of these would take most of the time. */
  async wharfinger(args: readonly string[], env: Record<string, string> = {}): Promise<ProgramResult> {
    const written = { stdout: "", stderr: "" };
    const asked = { HOME: this.folder, KUBECONFIG: this.administrator, WHARFINGER_TOKEN: "", ...env };
    for (const [name, value] of Object.entries(asked)) vi.stubEnv(name, value);
    for (const stream of ["stdout", "stderr"] as const)
      vi.spyOn(process[stream], "write").mockImplementation((text) => {
        written[stream] += String(text);
        return true;
      });
    try {
      return { code: await run(args), ...written };
    } finally {
      vi.restoreAllMocks();
      vi.unstubAllEnvs();
      process.exitCode = undefined;
    }
  }

  inHome(...args: string[]): Promise<ProgramResult> {
    return this.wharfinger([...args, "-n", this.namespace]);
  }

  /** Another namespace with its own Pods, and somebody who administers it. */
  async another(): Promise<{ readonly home: string; readonly ask: (...args: string[]) => Promise<ProgramResult> }> {
    const home = await createNamespace(this.api);
    const kubeconfig = await this.becomeAdministrator(`admin-of-${home}`, home);
    return { home, ask: (...args) => this.wharfinger([...args, "-n", home], { KUBECONFIG: kubeconfig }) };
  }
}
