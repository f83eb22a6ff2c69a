// Objects of the API server, as far as they are looked at, and the paths under which they are.

import type { Kind } from "../../domain/resource.ts";

export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly generation?: number;
  readonly deletionTimestamp?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
  readonly creationTimestamp?: string;
}

export interface KubeObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: ObjectMeta;
}

/** One of our kinds as it is applied. */
export interface CustomResource extends KubeObject {
  readonly spec?: unknown;
  readonly status?: unknown;
}

const plurals: Readonly<Record<Kind, string>> = {
  Upstream: "upstreams",
  TagPolicy: "tagpolicies",
  RetentionPolicy: "retentionpolicies",
  AccessPolicy: "accesspolicies",
};

export const groupVersion = "wharfinger.dev/v1alpha1";
/** Asks for what a list or an object is called, and not for what is in it. */
export const metadataOnly = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
/** Field manager of everything that is applied, and who events come from. */
export const fieldManager = "wharfinger";

export function pluralOf(kind: Kind): string {
  return plurals[kind];
}

export const paths = {
  namespace: (name: string) => `/api/v1/namespaces/${name}`,
  /** Of all namespaces. */
  everywhere: (kind: Kind) => `/apis/${groupVersion}/${plurals[kind]}`,
  pods: (namespace: string) => `/api/v1/namespaces/${namespace}/pods`,
  serviceAccounts: (namespace: string) => `/api/v1/namespaces/${namespace}/serviceaccounts`,
  resources: (kind: Kind, namespace: string) => `/apis/${groupVersion}/namespaces/${namespace}/${plurals[kind]}`,
  secrets: (namespace: string) => `/api/v1/namespaces/${namespace}/secrets`,
  configMaps: (namespace: string) => `/api/v1/namespaces/${namespace}/configmaps`,
  leases: (namespace: string) => `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`,
  jobs: (namespace: string) => `/apis/batch/v1/namespaces/${namespace}/jobs`,
  events: (namespace: string) => `/apis/events.k8s.io/v1/namespaces/${namespace}/events`,
} as const;

/** RFC 3339 with exactly six digits of a second, as Leases and Events want it. */
export function microTime(time: Date): string {
  return time.toISOString().replace(/\.(\d{3})Z$/, ".$1000Z");
}
