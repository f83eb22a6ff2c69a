// The flags of the processes that serve, and of what is done before they start.

import { logLevels } from "../../observability/logger.ts";
import type { OptionDefinition } from "./option.ts";

export const dataOption: OptionDefinition = {
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
  listen: {
    ...serveOptions.listen,
    description: "address of the images (/v2/), and of everything that has no listener of its own; port 0 takes any free one",
    fallback: "0.0.0.0:5000",
  },
  controlListen: {
    flags: "--control-listen <host:port>",
    variable: "WHARFINGER_CONTROL_LISTEN",
    description: "address of the control API (/api/v1), for the operator, jobs, reporters and administrators; for the cluster's inside",
    fallbackDescription: "it is on --listen",
  },
  adminListen: {
    flags: "--admin-listen <host:port>",
    variable: "WHARFINGER_ADMIN_LISTEN",
    description:
      "address of the probes (/livez, /readyz with its reasons) and of /metrics, which need no token there, in plain HTTP; for the cluster's inside",
    fallbackDescription: "they are on --listen",
  },
  tlsCertificate: {
    flags: "--tls-certificate <file>",
    variable: "WHARFINGER_TLS_CERTIFICATE",
    description:
      "certificate of --listen and --control-listen, which speak TLS with it; those that lead to its authority behind it (PEM). Read again when it changes",
    fallbackDescription: "they speak plain HTTP",
  },
  tlsKey: {
    flags: "--tls-key <file>",
    variable: "WHARFINGER_TLS_KEY",
    description: "its key, without a passphrase (PEM). Read again when it changes",
  },
  settings: {
    flags: "--settings <file>",
    variable: "WHARFINGER_SETTINGS",
    description:
      "settings of the installation (YAML, docs/reference/settings.md); `database.url` and a place for the bytes are needed, unless --data is given",
  },
  data: {
    flags: "--data <dir>",
    variable: "WHARFINGER_DATA",
    description: "folder for a database and the bytes of its own, for one process alone: no `database.url`, no bucket",
    fallbackDescription: "what the settings name",
  },
  adminTokenFile: {
    flags: "--admin-token-file <file>",
    variable: "WHARFINGER_ADMIN_TOKEN_FILE",
    description: "file with the token that may use the whole control API, at least 32 characters; the same in every process",
    fallbackDescription: "with --data one in that folder, which is made; else `access.operator` or `access.admins` must name somebody",
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
