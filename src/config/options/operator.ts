// The flags of what stands beside a registry: the operator, its jobs, reporters.

import type { OptionDefinition } from "./option.ts";
import { caOption } from "./client.ts";
import { serveOptions } from "./registry.ts";

/** Jobs ask for their run at one address, and read images at the other. */
export const pullFrom: OptionDefinition = {
  flags: "--pull-from <url>",
  variable: "WHARFINGER_PULL_FROM",
  description: "where jobs pull images: scheme://host:port of the registry's --listen, where its control API has a listener of its own",
  fallbackDescription: "--registry",
};

export const operatorOptions = {
  registry: {
    flags: "--registry <url>",
    variable: "WHARFINGER_REGISTRY",
    description: "the registry to configure: scheme://host:port of its control API",
  },
  pullFrom,
  ca: { ...caOption, description: `${caOption.description}. The Pods of jobs get it, too` },
  tokenFile: {
    flags: "--token-file <file>",
    variable: "WHARFINGER_TOKEN_FILE",
    description: "file with the token for the registry's control API",
  },
  namespaces: {
    flags: "--namespace <name>",
    variable: "WHARFINGER_NAMESPACES",
    description:
      "namespace to watch; repeatable, in the environment separated by commas. The first is the administrators', others need a grant (settings: `tenants`)",
    fallbackDescription: "that of the pod, or of the kubeconfig's context",
  },
  record: {
    flags: "--record <dir>",
    variable: "WHARFINGER_RECORD",
    description: "folder of the Git record; made when it is missing",
    fallback: "record",
  },
  credentials: {
    flags: "--credentials <name>",
    variable: "WHARFINGER_CREDENTIALS",
    description:
      "Secret in which what resources name as `secretRef` is gathered for the registry's processes to mount, as namespace/name or in the first namespace",
    fallbackDescription: "wharfinger-credentials",
  },
  listen: {
    ...serveOptions.listen,
    description: "address of the probes (/livez, /readyz) and of /metrics; port 0 takes any free one",
    fallback: "0.0.0.0:8081",
  },
  recordListen: {
    flags: "--record-listen <host:port>",
    variable: "WHARFINGER_RECORD_LISTEN",
    description:
      "address where administrators clone and push the record (/record.git) while it has no remote; in a Pod the default is in reach of port-forward alone",
    fallback: "127.0.0.1:8082",
  },
  kubeconfig: {
    flags: "--kubeconfig <file>",
    variable: "WHARFINGER_KUBECONFIG",
    description: "how to reach the cluster",
    fallbackDescription: "$KUBECONFIG, else the cluster of the Pod that this runs in, else ~/.kube/config",
  },
  settings: serveOptions.settings,
  logLevel: serveOptions.logLevel,
} as const satisfies Record<string, OptionDefinition>;

export const jobOptions = {
  pullFrom,
  ownRun: {
    flags: "--own-run",
    variable: "WHARFINGER_OWN_RUN",
    description: "in the Pod of a Job: do the run that the operator has registered for this Pod. Needs --registry and --token-file",
    boolean: true,
  },
} as const satisfies Record<string, OptionDefinition>;

export const reportOptions = {
  registry: {
    flags: "--registry <url>",
    variable: "WHARFINGER_REGISTRY",
    description: "the registry to tell, scheme://host:port of its control API",
  },
  tokenFile: {
    flags: "--token-file <file>",
    variable: "WHARFINGER_TOKEN_FILE",
    description: "file with the token for the registry, read again for every report",
  },
  ca: caOption,
  cluster: {
    flags: "--cluster <name>",
    variable: "WHARFINGER_CLUSTER",
    description: "what the registry's setting `clusters` calls the cluster",
  },
  kubeconfig: {
    flags: "--kubeconfig <file>",
    variable: "WHARFINGER_KUBECONFIG",
    description: "how to reach the cluster",
    fallbackDescription: "$KUBECONFIG, ~/.kube/config, else the cluster of the Pod that this runs in",
  },
  namespace: {
    flags: "--namespace <name>",
    variable: "WHARFINGER_NAMESPACES",
    description: "report this namespace only; repeatable, in the environment separated by commas",
    fallbackDescription: "the whole cluster",
  },
  adminListen: {
    flags: "--admin-listen <host:port>",
    variable: "WHARFINGER_ADMIN_LISTEN",
    description: "address of the probes (/livez, /readyz with its reasons) and of /metrics, in plain HTTP; port 0 takes any free one",
    fallbackDescription: "there are none",
  },
  once: {
    flags: "--once",
    variable: "WHARFINGER_REPORT_ONCE",
    description: "report once and end, instead of every ten minutes and when a Pod has a new image",
    boolean: true,
  },
  logLevel: serveOptions.logLevel,
} as const satisfies Record<string, OptionDefinition>;
