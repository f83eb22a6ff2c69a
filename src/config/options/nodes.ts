// The flags of what configures nodes: `wharfinger hosts` prints it, `wharfinger nodes` keeps it on the node that it runs on.

import type { OptionDefinition } from "./option.ts";

/** What both are told. */
export const mirrorOptions = {
  address: {
    flags: "--address <url>",
    variable: "WHARFINGER_MIRROR_ADDRESS",
    description: "the registry as nodes reach it: http://<ClusterIP>:5000, or https:// and a name that they resolve",
  },
  ca: {
    flags: "--ca <file>",
    variable: "WHARFINGER_MIRROR_CA",
    description: "authority of its certificate (PEM), where nodes do not know it",
  },
  user: {
    flags: "--user <name>",
    variable: "WHARFINGER_MIRROR_USER",
    description: "as whom nodes pull, where not everybody may",
    fallback: "nodes",
  },
  passwordFile: {
    flags: "--password-file <file>",
    variable: "WHARFINGER_MIRROR_PASSWORD_FILE",
    description: "file with that user's password",
    fallbackDescription: "none: nodes pull what everybody may pull",
  },
} as const satisfies Record<string, OptionDefinition>;

export const hostsOptions = {
  host: {
    flags: "--host <host>",
    variable: "WHARFINGER_HOSTS",
    description: "only this host of those that Upstreams serve; repeatable, in the environment separated by commas",
    fallbackDescription: "all of them",
  },
  upstream: {
    flags: "--upstream <host=prefix>",
    variable: "WHARFINGER_HOSTS_UPSTREAM",
    description: "ask no registry: this host is served under that prefix (docker.io=hub, cgr.dev/chainguard=cgr); repeatable",
  },
  output: {
    flags: "--output <dir>",
    variable: "WHARFINGER_HOSTS_OUTPUT",
    description: "write the files below this folder",
    fallbackDescription: "they are printed",
  },
} as const satisfies Record<string, OptionDefinition>;

/** Of the process that the chart's DaemonSet runs on each node. */
export const nodesOptions = {
  host: {
    flags: "--host <host>",
    variable: "WHARFINGER_NODES_HOSTS",
    description:
      "host whose images are pulled through the registry, for example docker.io; repeatable, in the environment separated by commas",
  },
  certsDir: {
    flags: "--certs-dir <dir>",
    variable: "WHARFINGER_NODES_CERTS_DIR",
    description: "containerd's config_path, as it is mounted here",
    fallback: "/etc/containerd/certs.d",
  },
  installation: {
    flags: "--installation <namespace/name>",
    variable: "WHARFINGER_NODES_INSTALLATION",
    description: "whose files these are: processes of one installation take them over from each other",
  },
  pod: {
    flags: "--pod <uid>",
    variable: "WHARFINGER_NODES_POD",
    description: "which of its processes this is",
  },
  problems: {
    flags: "--problems <file>",
    variable: "WHARFINGER_NODES_PROBLEMS",
    description: "file that says what could not be configured, a line each; empty when all is well",
  },
} as const satisfies Record<string, OptionDefinition>;
