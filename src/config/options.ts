// The flags of the subcommands with their environment twins, in one table: the command line, its help and the reference are made from it.

import { homedir } from "node:os";
import { join } from "node:path";

import { logLevels } from "../observability/logger.ts";

export interface OptionDefinition {
  /** As commander writes it: `-o, --output <form>`. */
  readonly flags: string;
  readonly variable: string;
  readonly description: string;
  readonly fallback?: string;
  /** In words, where the default is found rather than fixed. */
  readonly fallbackDescription?: string;
  readonly choices?: readonly string[];
  /** A switch: given alone it means true, and its twin says true or false. So may what follows the flag, where `flags` says so. */
  readonly boolean?: true;
}

const dataOption: OptionDefinition = {
  flags: "--data <dir>",
  variable: "WHARFINGER_DATA",
  description: "folder of the running process: database, images, record, admin token",
  fallback: "data",
};

export const serveOptions = {
  listen: {
    flags: "--listen <host:port>",
    variable: "WHARFINGER_LISTEN",
    description: "address to serve on; port 0 takes any free one",
    fallback: "127.0.0.1:5000",
  },
  data: dataOption,
  config: {
    flags: "--config <dir>",
    variable: "WHARFINGER_CONFIG",
    description: "folder with the resources (*.yaml, *.yml, *.json, at any depth); edits take effect while it runs",
    fallbackDescription: "config, when there is such a folder, else the quickstart that comes with the program",
  },
  settings: {
    flags: "--settings <file>",
    variable: "WHARFINGER_SETTINGS",
    description: "settings of the installation (YAML, docs/reference/settings.md)",
    fallbackDescription: "the defaults",
  },
  logLevel: {
    flags: "--log-level <level>",
    variable: "WHARFINGER_LOG_LEVEL",
    description: "least severe of the lines on stderr",
    fallback: "info",
    choices: logLevels,
  },
  allowAnonymous: {
    flags: "--allow-anonymous [true|false]",
    variable: "WHARFINGER_ALLOW_ANONYMOUS",
    description: "everybody who reaches the address may pull, push and delete until the first AccessPolicy exists",
    boolean: true,
  },
  acceptStore: {
    flags: "--accept-store [true|false]",
    variable: "WHARFINGER_ACCEPT_STORE",
    description: "use the store although its marker says that it is another installation's, or is gone (docs/guides/backup-and-restore.md)",
    boolean: true,
  },
  readOnly: {
    flags: "--read-only [true|false]",
    variable: "WHARFINGER_READ_ONLY",
    description: "pulls only: nothing is written to the database or the blob store; for backups and for moving house",
    fallbackDescription: "the setting `readOnly`",
    boolean: true,
  },
} as const satisfies Record<string, OptionDefinition>;

export const registryOptions = {
  listen: { ...serveOptions.listen, fallback: "0.0.0.0:5000" },
  settings: {
    flags: "--settings <file>",
    variable: "WHARFINGER_SETTINGS",
    description: "settings of the installation (YAML, docs/reference/settings.md); `database.url` and a place for the bytes are needed",
  },
  adminTokenFile: {
    flags: "--admin-token-file <file>",
    variable: "WHARFINGER_ADMIN_TOKEN_FILE",
    description: "file with the token that may use the whole control API, at least 32 characters; the same in every process",
  },
  secrets: {
    flags: "--secrets <dir>",
    variable: "WHARFINGER_SECRETS",
    description: "folder with the Secrets that resources name, a file a key: `<namespace>_<name>_<key>`; changes take effect while it runs",
    fallbackDescription: "there are none",
  },
  logLevel: serveOptions.logLevel,
  allowAnonymous: serveOptions.allowAnonymous,
  acceptStore: serveOptions.acceptStore,
  readOnly: serveOptions.readOnly,
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
  once: {
    flags: "--once",
    variable: "WHARFINGER_REPORT_ONCE",
    description: "report once and end, instead of every ten minutes and when a Pod has a new image",
    boolean: true,
  },
  logLevel: serveOptions.logLevel,
} as const satisfies Record<string, OptionDefinition>;

export const operatorOptions = {
  registry: {
    flags: "--registry <url>",
    variable: "WHARFINGER_REGISTRY",
    description: "the registry to configure: scheme://host:port of its Service",
  },
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
  kubeconfig: {
    flags: "--kubeconfig <file>",
    variable: "WHARFINGER_KUBECONFIG",
    description: "how to reach the cluster",
    fallbackDescription: "$KUBECONFIG, else the cluster of the Pod that this runs in, else ~/.kube/config",
  },
  settings: serveOptions.settings,
  logLevel: serveOptions.logLevel,
} as const satisfies Record<string, OptionDefinition>;

export const restoreMetadataOptions = {
  snapshot: {
    flags: "--snapshot <name>",
    variable: "WHARFINGER_SNAPSHOT",
    description: "which one, by name or time; a refusal lists those in the store",
    fallbackDescription: "the newest whole one",
  },
  settings: {
    ...serveOptions.settings,
    description: "settings of the installation; with `database.url` its database and store are used, else the data folder",
  },
  data: { ...dataOption, description: "data folder of `wharfinger serve`, which must not run" },
} as const satisfies Record<string, OptionDefinition>;

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
    fallback: "registry",
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

export const jobOptions = {
  ownRun: {
    flags: "--own-run",
    variable: "WHARFINGER_OWN_RUN",
    description: "in the Pod of a Job: do the run that the operator has registered for this Pod. Needs --registry and --token-file",
    boolean: true,
  },
} as const satisfies Record<string, OptionDefinition>;

export const importOptions = {
  repository: {
    flags: "--repository <name>",
    variable: "WHARFINGER_IMPORT_REPOSITORY",
    description: "import this repository, or those that the glob matches; repeatable, in the environment separated by commas",
    fallbackDescription: "all of the source",
  },
  prefix: {
    flags: "--prefix <prefix>",
    variable: "WHARFINGER_IMPORT_PREFIX",
    description: "put this before every repository name, for example old/",
  },
  rename: {
    flags: "--rename <old=new>",
    variable: "WHARFINGER_IMPORT_RENAME",
    description: "call a repository, or everything below a path, something else here; instead of --prefix where it applies; repeatable",
  },
  endpoint: {
    flags: "--endpoint <url>",
    variable: "WHARFINGER_IMPORT_ENDPOINT",
    description: "S3 service of an s3:// source",
    fallbackDescription: "AWS",
  },
  region: {
    flags: "--region <region>",
    variable: "AWS_REGION",
    description: "region of an s3:// source",
    fallback: "us-east-1",
  },
  allowHost: {
    flags: "--allow-host <host>",
    variable: "WHARFINGER_IMPORT_ALLOW_HOST",
    description: "another host that the source may send the login to (its token server), or redirect to at a private address; repeatable",
  },
  concurrency: {
    flags: "--concurrency <n>",
    variable: "WHARFINGER_IMPORT_CONCURRENCY",
    description: "requests and blobs on their way at a time, 1 to 64",
    fallback: "4",
  },
  overwriteTags: {
    flags: "--overwrite-tags",
    variable: "WHARFINGER_IMPORT_OVERWRITE_TAGS",
    description: "move tags that exist here and point elsewhere; left as they are and named otherwise",
    boolean: true,
  },
  untagged: {
    flags: "--untagged",
    variable: "WHARFINGER_IMPORT_UNTAGGED",
    description: "import manifests without a tag as well (folder and s3:// sources)",
    boolean: true,
  },
  dryRun: {
    flags: "--dry-run",
    variable: "WHARFINGER_IMPORT_DRY_RUN",
    description: "say what would be imported and what is broken; store nothing",
    boolean: true,
  },
} as const satisfies Record<string, OptionDefinition>;

/** Logins of the registry that is imported from, and of a user of the one it goes to; a flag would show them to everybody on the machine. */
const loginVariables = {
  source: ["WHARFINGER_SOURCE_USERNAME", "WHARFINGER_SOURCE_PASSWORD"],
  target: ["WHARFINGER_USERNAME", "WHARFINGER_PASSWORD"],
} as const;

export function loginFromEnvironment(of: keyof typeof loginVariables, environment: NodeJS.ProcessEnv = process.env) {
  const variables = loginVariables[of];
  const [username, password] = variables.map((name) => environment[name]);
  return {
    ...(username === undefined || username === "" ? {} : { username }),
    ...(password === undefined || password === "" ? {} : { password }),
    variables,
    dockerFolder: environment["DOCKER_CONFIG"] ?? join(homedir(), ".docker"),
  };
}

/** Instead of the admin token of the data folder; a flag would show it to everybody on the machine. */
export const tokenVariable = "WHARFINGER_TOKEN";

export function tokenFromEnvironment(environment: NodeJS.ProcessEnv = process.env): string | undefined {
  const token = environment[tokenVariable]?.trim();
  return token === undefined || token === "" ? undefined : token;
}

/** Set by the file that kubectl starts: one program, whose messages name it as it was called. */
const pluginVariable = "WHARFINGER_KUBECTL_PLUGIN";

/** Called as `kubectl wharfinger`. */
export function isKubectlPlugin(environment: NodeJS.ProcessEnv = process.env): boolean {
  return environment[pluginVariable] === "true";
}

/** How a person calls this program, for messages. */
export function programName(environment: NodeJS.ProcessEnv = process.env): string {
  return isKubectlPlugin(environment) ? "kubectl wharfinger" : "npx wharfinger";
}

/** The twin of a switch whose flag takes no value (what stands behind it is an argument of the command). Throws an Error as `parseBoolean` does. */
export function switchFromEnvironment({ variable }: OptionDefinition, environment: NodeJS.ProcessEnv = process.env): boolean {
  const text = environment[variable] ?? "";
  return text !== "" && parseBoolean(text);
}

/** Throws an Error for anything but the ways to say yes or no. */
export function parseBoolean(text: string): boolean {
  if (["true", "1", "yes"].includes(text.toLowerCase())) return true;
  if (["false", "0", "no"].includes(text.toLowerCase())) return false;
  throw new Error("Write true or false.");
}
