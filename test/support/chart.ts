// The chart as Helm renders it, without a cluster, and the values that its tests are about.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { expect } from "vitest";
import { parseAllDocuments, stringify } from "yaml";

import { program, type ProgramResult } from "./programs.ts";
import { tool } from "./tools.ts";

export const chartFolder = resolve(import.meta.dirname, "../../charts/registry");

export interface Container {
  readonly name: string;
  readonly args: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value?: string; readonly valueFrom?: unknown }[];
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
  readonly securityContext: Readonly<Record<string, unknown>>;
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
  readonly readinessProbe?: { readonly httpGet: Readonly<Record<string, unknown>> };
}

export interface PodTemplate {
  readonly metadata: { readonly labels: Readonly<Record<string, string>>; readonly annotations?: Readonly<Record<string, string>> };
  readonly spec: {
    readonly containers: readonly Container[];
    readonly securityContext: Readonly<Record<string, unknown>>;
    readonly serviceAccountName?: string;
    readonly terminationGracePeriodSeconds?: number;
    readonly volumes: readonly Readonly<Record<string, unknown>>[];
  };
}

/** As much of an object as tests look at; what a kind does not have is not there. */
export interface Rendered {
  readonly kind: string;
  readonly apiVersion: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec: Readonly<Record<string, unknown>> & {
    readonly replicas?: number;
    readonly template: PodTemplate;
    readonly strategy: { readonly type: string };
    readonly selector: { readonly matchLabels: Readonly<Record<string, string>> };
  };
  readonly data: Readonly<Record<string, string>>;
  readonly immutable?: boolean;
  readonly rules: readonly Readonly<Record<string, readonly string[]>>[];
}

export type Values = Readonly<Record<string, unknown>>;

/** Whose rendering it is; by default wharfinger in namespace registry. */
export interface Release {
  readonly name?: string;
  readonly namespace?: string;
}

export const production = {
  externalURL: "https://Registry.example.com:443",
  tls: { existingSecret: "certificate" },
  database: { existingSecret: { name: "database" }, caSecret: { name: "authority" } },
  storage: { s3: { existingSecret: { name: "s3" } } },
  settings: { database: { url: "postgres://wharfinger@db:5432/wharfinger" }, storage: { s3: { bucket: "images" } } },
};

/** Settings without which nothing is rendered that has a proxy before the registry. */
export const behindProxy = { access: { trustedProxies: ["10.244.3.0/24"] } };

export const everything = {
  ...production,
  components: ["registry", "operator", "report"],
  operator: { namespaces: ["resources", "team-a"], replicas: 2 },
  record: { existingSecret: "git" },
  signingKeys: { existingSecret: "signing" },
  settings: {
    ...production.settings,
    ...behindProxy,
    record: { remote: { url: "ssh://git@git.example.com/team/registry.git" } },
    clusters: [{ name: "edge" }],
    auth: { issuers: [{ name: "edge", issuer: "https://edge", jwks: "/etc/edge/jwks.json" }] },
  },
  reporter: { cluster: "prod" },
  registry: { autoscaling: { enabled: true } },
  listenHost: "::",
  ingress: { enabled: true, tls: { certManager: { issuerRef: { name: "letsencrypt", kind: "ClusterIssuer" } } } },
  gateway: { enabled: true, parentRefs: [{ name: "gateway" }], backendTLS: { caConfigMap: "authority" } },
  adminToken: { existingSecret: { name: "admin" } },
  tls: { existingSecret: "", certManager: { issuerRef: { name: "authority", kind: "ClusterIssuer" } } },
  serviceMonitor: { enabled: true },
  prometheusRule: { enabled: true },
  grafanaDashboard: { enabled: true },
};

export const embedded = { profile: "embedded" };

/** What further clusters install. */
export const reporterAlone = {
  components: ["report"],
  externalURL: "https://registry.example.com",
  registryURL: "https://registry.example.com",
  reporter: { cluster: "edge" },
};

export const profiles: Readonly<Record<string, Values>> = { production, everything, embedded, "a reporter alone": reporterAlone };

/** `helm template`. A Helm that `go install` built takes Kubernetes 1.20 for granted, so the version is said. */
export async function helmTemplate(values: Values, { name = "wharfinger", namespace = "registry" }: Release = {}): Promise<ProgramResult> {
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-chart-"));
  try {
    const file = join(folder, "values.yaml");
    // Helm reads YAML 1.1, in which `yes` is true.
    await writeFile(file, stringify(values, { version: "1.1" }));
    const args = ["template", name, chartFolder, "--namespace", namespace, "--kube-version", "1.35.0", "--values", file];
    return await program(await tool("helm"), args);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** The objects, when there is nothing to complain about. */
export async function render(values: Values, release?: Release): Promise<readonly Rendered[]> {
  const { code, stdout, stderr } = await helmTemplate(values, release);
  expect(stderr).toBe("");
  expect(code).toBe(0);
  return objectsOf(stdout);
}

export function objectsOf(text: string): readonly Rendered[] {
  return parseAllDocuments(text).flatMap((document) => {
    expect(document.errors).toEqual([]);
    const value = document.toJS() as Rendered | null;
    return value === null ? [] : [value];
  });
}

export const ofKind = (objects: readonly Rendered[], kind: string) => objects.filter((object) => object.kind === kind);

/** The one object of that kind and name. */
export function named(objects: readonly Rendered[], kind: string, name: string, namespace = "registry"): Rendered {
  const found = ofKind(objects, kind).filter(({ metadata }) => metadata.name === name && metadata.namespace === namespace);
  expect(found.map(({ metadata }) => metadata.name)).toEqual([name]);
  return found[0] as Rendered;
}

/** The one ConfigMap with settings: its name has their hash. */
export function settingsMap(objects: readonly Rendered[]): Rendered {
  const found = ofKind(objects, "ConfigMap").filter(({ data }) => data["settings.yaml"] !== undefined);
  expect(found).toHaveLength(1);
  return found[0] as Rendered;
}

export const settingsText = (objects: readonly Rendered[]) => settingsMap(objects).data["settings.yaml"] ?? "";
