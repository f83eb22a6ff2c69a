// The flags of `wharfinger robot`.

import type { OptionDefinition } from "./option.ts";

export const robotOptions = {
  secret: {
    flags: "--secret <name>",
    variable: "WHARFINGER_ROBOTS",
    description: "Secret of the robots: the setting access.robots.secretRef",
    fallback: "wharfinger-robots",
  },
  file: {
    flags: "--file <file>",
    variable: "WHARFINGER_ROBOTS_FILE",
    description: "keep the Secret in this file, among the resources of a registry without a cluster; made when it is not there",
  },
  apply: {
    flags: "--apply",
    variable: "WHARFINGER_ROBOT_APPLY",
    description: "write to the cluster, with the rights of the kubeconfig; otherwise it is printed for kubectl",
  },
  expires: {
    flags: "--expires <when>",
    variable: "WHARFINGER_ROBOT_EXPIRES",
    description: "days (90d), a duration (12h), a time (2027-01-01T00:00:00Z), or never",
    fallback: "90d",
  },
  pullSecret: {
    flags: "--pull-secret <namespace>",
    variable: "WHARFINGER_ROBOT_PULL_SECRET",
    description: "make an image pull secret in this namespace; repeatable, in the environment separated by commas",
  },
  host: {
    flags: "--host <host>",
    variable: "WHARFINGER_HOST",
    description: "host of externalURL, which pull secrets are for",
  },
  passwordFile: {
    flags: "--password-file <file>",
    variable: "WHARFINGER_ROBOT_PASSWORD_FILE",
    description: "new file for the password, instead of stderr",
  },
} as const satisfies Record<string, OptionDefinition>;
