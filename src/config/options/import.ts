// The flags of `wharfinger import`, and its logins.

import { homedir } from "node:os";
import { join } from "node:path";

import type { OptionDefinition } from "./option.ts";

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
