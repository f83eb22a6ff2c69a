// The flags of the subcommands that ask a registry, and the token that they show it.

import type { OptionDefinition } from "./option.ts";
import { dataOption } from "./registry.ts";

/** Of whoever asks a registry whose certificate is nobody's that Node knows. */
export const caOption: OptionDefinition = {
  flags: "--ca <file>",
  variable: "WHARFINGER_CA",
  description: "file with the authority of the registry's certificate (PEM), which alone is trusted then; read for each new connection",
  fallbackDescription: "those that Node knows",
};

export const clientOptions = {
  registry: {
    flags: "--registry <url>",
    variable: "WHARFINGER_REGISTRY",
    description: "the registry to ask",
    fallbackDescription: "the process of the data folder, else the registry of the cluster",
  },
  data: dataOption,
  tokenFile: {
    flags: "--token-file <file>",
    variable: "WHARFINGER_TOKEN_FILE",
    description: "file with the token to show",
    fallbackDescription: "the admin token of the data folder; in a cluster a token of --service-account",
  },
  ca: caOption,
  verbose: {
    flags: "--verbose [true|false]",
    variable: "WHARFINGER_VERBOSE",
    description: "say on stderr who is asked, and as whom",
    boolean: true,
  },
  output: {
    flags: "-o, --output <form>",
    variable: "WHARFINGER_OUTPUT",
    description: "form of the result on stdout",
    fallback: "table",
    choices: ["table", "json", "yaml"],
  },
} as const satisfies Record<string, OptionDefinition>;

/** Of the subcommands that find the registry in a cluster; named as kubectl names them where kubectl has them. */
export const clusterOptions = {
  kubeconfig: {
    flags: "--kubeconfig <file>",
    variable: "WHARFINGER_KUBECONFIG",
    description: "how to reach the cluster",
    fallbackDescription: "$KUBECONFIG, else ~/.kube/config, else the cluster of the Pod that this runs in",
  },
  context: {
    flags: "--context <name>",
    variable: "WHARFINGER_CONTEXT",
    description: "context of the kubeconfig",
    fallbackDescription: "its current one",
  },
  namespace: {
    flags: "-n, --namespace <name>",
    variable: "WHARFINGER_NAMESPACE",
    description: "namespace of the registry, and of resources that are named without one",
    fallbackDescription: "that of the context",
  },
} as const satisfies Record<string, OptionDefinition>;

/** How the registry is found in its namespace, and who one is to it. */
export const podOptions = {
  pods: {
    flags: "--pods <labels>",
    variable: "WHARFINGER_PODS",
    description: "labels of the registry's Pods",
    fallback: "app.kubernetes.io/name=wharfinger,app.kubernetes.io/component=registry",
  },
  podPort: {
    flags: "--pod-port <port>",
    variable: "WHARFINGER_POD_PORT",
    description: "their port, by its name or number",
    fallbackDescription: "`control`, else `registry`",
  },
  serviceAccount: {
    flags: "--service-account <name>",
    variable: "WHARFINGER_SERVICE_ACCOUNT",
    description: "ServiceAccount in the registry's namespace as which to ask, with a token of ten minutes",
    fallback: "wharfinger-admin",
  },
  audience: {
    flags: "--audience <host>",
    variable: "WHARFINGER_AUDIENCE",
    description: "what that token is for: the host of the setting externalURL",
    fallbackDescription: "the Pods' annotation wharfinger.dev/audience",
  },
} as const satisfies Record<string, OptionDefinition>;

/** Instead of the admin token of the data folder; a flag would show it to everybody on the machine. */
export const tokenVariable = "WHARFINGER_TOKEN";

export function tokenFromEnvironment(environment: NodeJS.ProcessEnv = process.env): string | undefined {
  const token = environment[tokenVariable]?.trim();
  return token === undefined || token === "" ? undefined : token;
}
