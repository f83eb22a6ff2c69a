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
